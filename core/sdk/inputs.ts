/**
 * Request schemas shared by every backend of one kind, so that clients see one API per kind.
 * A plugin adds its own fields with `t.Composite([inputs.image, t.Object({ … })])`.
 */
import { Type as t } from "@sinclair/typebox";

const side = (what: string) =>
  t.Optional(
    t.Integer({
      minimum: 64,
      maximum: 4096,
      multipleOf: 8,
      description: `${what} in pixels; the workflow's own when absent.`,
    }),
  );

const model = t.Optional(
  t.String({ minLength: 1, maxLength: 256, description: "The backend's default when absent." }),
);

/** Largest seed that survives JSON in every language: 2^53 - 1. */
export const MAX_SEED = Number.MAX_SAFE_INTEGER;

const seed = t.Optional(
  t.Integer({ minimum: 0, maximum: MAX_SEED, description: "Random when absent." }),
);

export const image = t.Object({
  prompt: t.String({ minLength: 1, maxLength: 20_000 }),
  negative_prompt: t.Optional(t.String({ maxLength: 20_000 })),
  model,
  width: side("Width"),
  height: side("Height"),
  steps: t.Optional(t.Integer({ minimum: 1, maximum: 150 })),
  cfg: t.Optional(
    t.Number({ minimum: 0, maximum: 50, description: "Classifier-free guidance scale." }),
  ),
  seed,
});

export const text = t.Object({
  prompt: t.String({ minLength: 1, maxLength: 1_000_000 }),
  system: t.Optional(t.String({ maxLength: 1_000_000 })),
  model,
  max_tokens: t.Optional(t.Integer({ minimum: 1, maximum: 131_072 })),
  temperature: t.Optional(t.Number({ minimum: 0, maximum: 2 })),
  top_p: t.Optional(t.Number({ minimum: 0, maximum: 1 })),
  stop: t.Optional(t.Array(t.String({ minLength: 1 }), { maxItems: 16 })),
  seed,
});

export const embedding = t.Object({
  texts: t.Array(t.String({ minLength: 1 }), { minItems: 1, maxItems: 2048 }),
  model,
});

export const speech = t.Object({
  text: t.String({ minLength: 1, maxLength: 20_000 }),
  voice: t.Optional(t.String({ minLength: 1, maxLength: 128 })),
  language: t.Optional(
    t.String({ minLength: 2, maxLength: 35, description: "A BCP 47 tag such as en-GB." }),
  ),
  speed: t.Number({ default: 1, minimum: 0.25, maximum: 4, description: "1 is normal speed." }),
});

export const none = t.Object({});
