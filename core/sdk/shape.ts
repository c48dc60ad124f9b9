/**
 * Checks what comes from outside (a file, a socket) against a TypeBox schema, without changing it.
 */
import type { Static, TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";

/** True when `value` has the shape; its type follows. */
export function matches<Schema extends TSchema>(
  schema: Schema,
  value: unknown,
): value is Static<Schema> {
  return Value.Check(schema, value);
}

/**
 * The first thing that keeps `value` from the shape, as "/path: reason"; undefined when it fits.
 */
export function mismatch(schema: TSchema, value: unknown): string | undefined {
  const first = Value.Errors(schema, value).First();
  return first && `${first.path === "" ? "the whole" : first.path}: ${first.message}`;
}
