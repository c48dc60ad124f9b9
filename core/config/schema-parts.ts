/** The building blocks of the configuration's schemas: numbers with units, lists, sections. */
import { type TSchema, Type as t } from "@sinclair/typebox";

/** Timers of both runtimes fire at once above 2^31 - 1 ms (24.8 days). */
export const MAX_TIMER_MS = 2_147_483_647;

export const timer = (byDefault: number, description: string, minimum = 1) =>
  t.Integer({ default: byDefault, minimum, maximum: MAX_TIMER_MS, unit: "ms", description });

export const span = (byDefault: number, description: string, minimum = 1) =>
  t.Integer({
    default: byDefault,
    minimum,
    maximum: Number.MAX_SAFE_INTEGER,
    unit: "ms",
    description,
  });

export const count = (byDefault: number, description: string, minimum = 0, unit?: string) =>
  t.Integer({
    default: byDefault,
    minimum,
    maximum: Number.MAX_SAFE_INTEGER,
    ...(unit && { unit }),
    description,
  });

export const list = (description: string) =>
  t.Array(t.String({ minLength: 1 }), { default: [], description });

export const section = <Properties extends Record<string, TSchema>>(
  description: string,
  properties: Properties,
) => t.Object(properties, { additionalProperties: false, description });
