/**
 * What a server says of a parameter's values, as a schema: enums, and the range of a slider, which
 * stands only in a sentence or among the component's properties.
 */
import { type TProperties, type TSchema, Type as t } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { BackendError } from "../errors.ts";
import { isRecord } from "./records.ts";
import type { GradioParameter } from "./types.ts";

export interface Range {
  readonly minimum?: number;
  readonly maximum?: number;
}

const RANGE = /numeric value between (-?[\d.]+(?:e[+-]?\d+)?) and (-?[\d.]+(?:e[+-]?\d+)?)/i;
const MAX_TEXT = 20_000;
const MAX_CHOICES = 1_000;
const MAX_ITEMS = 100;

export function rangeOf(type: unknown, props: Record<string, unknown> | undefined): Range {
  const description = isRecord(type) ? type.description : undefined;
  const said = typeof description === "string" ? RANGE.exec(description) : null;
  const minimum = numberFrom(said?.[1] ?? props?.minimum);
  const maximum = numberFrom(said?.[2] ?? props?.maximum);
  if (minimum !== undefined && maximum !== undefined && minimum > maximum) return {};
  return {
    ...(minimum === undefined ? {} : { minimum }),
    ...(maximum === undefined ? {} : { maximum }),
  };
}

/** Undefined for what is no plain value: files, tables, chat histories. */
export function schemaOf(type: unknown, range: Range = {}): TSchema | undefined {
  if (!isRecord(type)) return undefined;
  const choices = choicesOf(type.enum);
  if (choices !== undefined) return choices;
  switch (type.type) {
    case "string":
      return t.String({ maxLength: MAX_TEXT });
    case "integer":
      return t.Integer(range);
    case "number":
      return t.Number(range);
    case "boolean":
      return t.Boolean();
    case "array": {
      const items = schemaOf(type.items);
      return items && t.Array(items, { maxItems: MAX_ITEMS });
    }
    default:
      return undefined;
  }
}

/** As optional properties, with the server's own words and defaults. */
export function optionsFrom(parameters: readonly GradioParameter[]): TProperties {
  const properties: TProperties = {};
  for (const { name, label, schema, default: usual } of parameters) {
    if (schema === undefined) continue;
    const own = {
      ...(label === "" ? {} : { description: label.slice(0, 200) }),
      ...(usual !== null && Value.Check(schema, usual) ? { default: usual } : {}),
    };
    properties[name] = t.Optional({ ...schema, ...own });
  }
  return properties;
}

/**
 * The value in the type that the server wants: one release takes a seed as text, another one as a
 * number. Throws BACKEND_REJECTED when it is none of those that the server declares.
 */
export function fitted(title: string, parameter: GradioParameter, value: unknown): unknown {
  const { name, schema } = parameter;
  if (schema === undefined || value === null) return value;
  const cast = castTo(schema, value);
  const wrong = Value.Errors(schema, cast).First();
  if (wrong === undefined) return cast;
  const shown = JSON.stringify(value)?.slice(0, 100);
  const message = `${title} does not take ${shown} for ${name}: ${expected(schema, wrong.message)}`;
  throw new BackendError("BACKEND_REJECTED", message);
}

/** Whether the server takes the value, in the type that it wants. */
export function isTaken({ schema }: GradioParameter, value: unknown): boolean {
  return schema === undefined || value === null || Value.Check(schema, castTo(schema, value));
}

function castTo(schema: TSchema, value: unknown): unknown {
  if (schema.type === "string" && (typeof value === "number" || typeof value === "boolean")) {
    return String(value);
  }
  const isNumber = schema.type === "number" || schema.type === "integer";
  if (isNumber && typeof value === "string" && value.trim() !== "") {
    const number = Number(value);
    return Number.isNaN(number) ? value : number;
  }
  return value;
}

function expected(schema: TSchema, message: string): string {
  if (Array.isArray(schema.anyOf)) {
    const names = schema.anyOf.map((choice: TSchema) => JSON.stringify(choice.const));
    return `expected one of ${names.slice(0, 20).join(", ")}`;
  }
  const { minimum, maximum } = schema;
  if (minimum !== undefined && maximum !== undefined) return `expected ${minimum} to ${maximum}`;
  return message.charAt(0).toLowerCase() + message.slice(1);
}

function choicesOf(choices: unknown): TSchema | undefined {
  if (!Array.isArray(choices) || choices.length > MAX_CHOICES) return undefined;
  const literals = choices.filter(
    (choice) => typeof choice === "string" || typeof choice === "number",
  );
  if (literals.length === 0) return undefined;
  return t.Union(literals.map((choice) => t.Literal(choice)));
}

function numberFrom(value: unknown): number | undefined {
  if (value === null || value === undefined || value === "") return undefined;
  const number = Number(value);
  return Number.isFinite(number) ? number : undefined;
}
