/** Texts of a form as the JSON values that they would be in a body. */
import type { TSchema } from "@sinclair/typebox";
import { GatewayError } from "../errors.ts";

/** The part that may hold the whole request as JSON; single fields win over it. */
const WHOLE = "request";

/**
 * By the field's schema in any variant of the body: "3" becomes a number where one is wanted. What
 * cannot be turned stays a text, for the schema's check to name it.
 */
export function bodyOfFields(
  fields: Readonly<Record<string, string>>,
  schema: TSchema,
): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  const hasOwn = schemasOf(schema, WHOLE).length > 0;
  if (fields[WHOLE] !== undefined && !hasOwn) Object.assign(body, parsedWhole(fields[WHOLE]));
  for (const [name, text] of Object.entries(fields)) {
    if (name === WHOLE && !hasOwn) continue;
    body[name] = typed(text, new Set(schemasOf(schema, name).flatMap(typesOf)));
  }
  return body;
}

function schemasOf(schema: TSchema, name: string): TSchema[] {
  const variants: TSchema[] = schema.anyOf ?? [schema];
  return variants.flatMap(({ properties }) =>
    properties && Object.hasOwn(properties, name) ? [properties[name]] : [],
  );
}

function typesOf(schema: TSchema): string[] {
  if (schema.const !== undefined) return [typeof schema.const];
  if (schema.anyOf) return schema.anyOf.flatMap(typesOf);
  return schema.type === undefined ? [] : [schema.type];
}

function typed(text: string, types: ReadonlySet<string>): unknown {
  const isNumber = types.has("number") || types.has("integer");
  if (isNumber && text.trim() !== "" && Number.isFinite(Number(text))) return Number(text);
  if (types.has("boolean") && /^(true|false)$/.test(text)) return text === "true";
  const isStructure = types.has("object") || types.has("array");
  return isStructure && !types.has("string") ? (parsed(text) ?? text) : text;
}

function parsedWhole(text: string): object {
  const whole = parsed(text);
  if (typeof whole === "object" && whole !== null && !Array.isArray(whole)) return whole;
  throw new GatewayError("BAD_REQUEST", `The form's part "${WHOLE}" is not a JSON object`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
