/**
 * Checks a value from outside against a TypeBox schema: fills in defaults, drops unknown keys, and
 * says everything that is wrong at once, by field.
 */
import { KindGuard, type Static, type TSchema } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { Value, type ValueError } from "@sinclair/typebox/value";
import { GatewayError } from "./errors.ts";
import "./sdk/text-formats.ts";
import { strictForm } from "./strict-form.ts";

export interface FieldError {
  /** JSON pointer; "" is the whole value. */
  readonly field: string;
  readonly message: string;
}

export type Checked<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly errors: readonly FieldError[] };

export type Check<T> = (value: unknown) => Checked<T>;

const MAX_ERRORS = 20;
const SHOWN_VALUE_LENGTH = 60;

export interface CheckOptions {
  /** Turns "3" into 3 and "true" into true first: for query strings. */
  readonly convert?: boolean;
}

/** Compiles the schema once; the returned check is cheap. */
export function createCheck<Schema extends TSchema>(
  schema: Schema,
  { convert = false }: CheckOptions = {},
): Check<Static<Schema>> {
  const compiled = TypeCompiler.Compile(schema);
  const strict = strictForm(schema);
  const complete = strict && TypeCompiler.Compile(strict);
  return (input) => {
    if (complete?.Check(input)) return { ok: true, value: input };
    // Both change what they are given, and another check may want to see it too.
    const own = isObject(input) ? { ...input } : input;
    let value = Value.Clean(schema, Value.Default(schema, own));
    if (convert) value = Value.Convert(schema, value);
    if (compiled.Check(value)) return { ok: true, value };
    return { ok: false, errors: explain(compiled.Errors(value)) };
  };
}

const isObject = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The checked value, or a VALIDATION_FAILED that lists every wrong field. */
export function expectValid<T>(check: Check<T>, value: unknown, what: string): T {
  const checked = check(value);
  if (checked.ok) return checked.value;
  throw invalid(checked.errors, what);
}

export function invalid(errors: readonly FieldError[], what = "body"): GatewayError {
  const [first] = errors;
  const where = first?.field ? `${what} field ${first.field}` : what;
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : "";
  const message = `Invalid ${where}: ${first?.message ?? "not valid"}${more}`;
  return new GatewayError("VALIDATION_FAILED", message, { details: { errors } });
}

function explain(errors: Iterable<ValueError>): FieldError[] {
  const byField = new Map<string, FieldError>();
  for (const { path, message, value, schema } of errors) {
    // The first error of a field is the plainest one; "required" comes before "expected string".
    if (byField.has(path)) continue;
    byField.set(path, { field: path, message: `${plain(message, schema)}${shown(value)}` });
    if (byField.size >= MAX_ERRORS) break;
  }
  return [...byField.values()];
}

function plain(message: string, schema: TSchema): string {
  if (message === "Expected required property") return "is required";
  if (KindGuard.IsUnion(schema)) {
    const choices = schema.anyOf.map((option) => option.const).filter((it) => it !== undefined);
    if (choices.length > 0) return `expected one of ${choices.join(", ")}`;
  }
  // A pattern is for programs; what the field wants stands in its description.
  const isPattern = message.startsWith("Expected string to match");
  if (isPattern && schema.description) return `does not fit "${schema.description}"`;
  return message.charAt(0).toLowerCase() + message.slice(1);
}

/** Short scalars are repeated to the sender; texts and structures are not. */
function shown(value: unknown): string {
  if (value === undefined || (typeof value === "object" && value !== null)) return "";
  const json = JSON.stringify(value);
  return json === undefined || json.length > SHOWN_VALUE_LENGTH ? "" : `, got ${json}`;
}
