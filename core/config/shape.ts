/** Settings schemas as the plain JSON Schema that they are, so that any copy of TypeBox will do. */

/** The part of JSON Schema that settings use; every TypeBox schema fits it. */
export interface Shape {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Shape[];
  readonly allOf?: readonly Shape[];
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly patternProperties?: Readonly<Record<string, Shape>>;
  readonly additionalProperties?: boolean | Shape;
  readonly minProperties?: number;
  readonly items?: Shape | readonly Shape[];
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly default?: unknown;
  readonly description?: string;
  readonly unit?: string;
  /** What `pattern`, or `patternProperties` as a name, allows, in words. */
  readonly names?: string;
  /** Hidden in logs and messages. */
  readonly secret?: boolean;
}

/** The values of an enumeration, or undefined for any other schema. */
export function choicesOf(shape: Shape): readonly unknown[] | undefined {
  if (shape.enum) return shape.enum;
  if ("const" in shape) return [shape.const];
  if (shape.anyOf?.every((one) => "const" in one)) return shape.anyOf.map((one) => one.const);
  return undefined;
}

/** Schemas without any demand, such as `t.Unknown()`. */
export const isAnything = (shape: Shape): boolean =>
  shape.type === undefined && !shape.anyOf && !shape.allOf && !choicesOf(shape);

/** The schema that demands what all `parts` demand, for `t.Intersect`. */
export function merged(parts: readonly Shape[]): Shape {
  return {
    type: "object",
    properties: Object.assign({}, ...parts.map((part) => part.properties)),
    required: parts.flatMap((part) => part.required ?? []),
  };
}
