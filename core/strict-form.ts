/**
 * The strict form of a schema: what passes it needs no default and has no unknown key, so that it can
 * be taken as it is. Most requests are of that kind, and one compiled check is several times quicker
 * than filling in and dropping.
 */
import { KindGuard, OptionalKind, type TProperties, type TSchema } from "@sinclair/typebox";

/** Undefined for schemas with parts that this cannot see through; they take the long way. */
export function strictForm(schema: TSchema): TSchema | undefined {
  if (isLeaf(schema)) return schema;
  if (KindGuard.IsArray(schema)) {
    const items = strictForm(schema.items);
    return items && { ...schema, items };
  }
  if (!KindGuard.IsObject(schema)) return undefined;
  const properties: TProperties = {};
  for (const [name, property] of Object.entries(schema.properties)) {
    // An optional field with a default may be missing and would still have to be filled in.
    const isFilledIn = property[OptionalKind] === "Optional" && property.default !== undefined;
    const strict = isFilledIn ? undefined : strictForm(property);
    if (!strict) return undefined;
    properties[name] = strict;
  }
  return { ...schema, properties, additionalProperties: false };
}

function isLeaf(schema: TSchema): boolean {
  if (KindGuard.IsUnion(schema)) return schema.anyOf.every(isLeaf);
  return LEAVES.some((is) => is(schema));
}

const LEAVES = [
  KindGuard.IsString,
  KindGuard.IsNumber,
  KindGuard.IsInteger,
  KindGuard.IsBoolean,
  KindGuard.IsLiteral,
  KindGuard.IsNull,
  KindGuard.IsUnknown,
];
