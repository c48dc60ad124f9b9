/**
 * Request schemas shared by every backend of one kind, so that clients see one API per kind. A
 * plugin takes the fields that its server has a use for, `t.Pick(inputs.music, ["prompt", …])`;
 * what only that server knows goes into `options`.
 */
import { type TObject, Type as t } from "@sinclair/typebox";
import { AUDIO_FORMATS } from "./formats.ts";
import "./text-formats.ts";

/** What a file of a request must be. */
export type FileKind = "image" | "audio" | "video";

/**
 * A file. Clients send it as a part of a multipart form, as `{"base64": …}`, or name an artifact of
 * theirs; the gateway stores it, and a plugin finds `{ artifact_id }` for `job.file`.
 */
export const file = (kind: FileKind, description: string) =>
  t.Object({ artifact_id: t.String({ format: "uuid" }) }, { file: kind, description });

const optionalFile = (kind: FileKind, description: string) => t.Optional(file(kind, description));

const side = (what: string) =>
  t.Optional(
    t.Integer({
      minimum: 64,
      maximum: 4096,
      multipleOf: 8,
      description: `${what} in pixels; the model's own when absent.`,
    }),
  );

const prompt = t.String({ minLength: 1, maxLength: 20_000 });
const negative_prompt = t.Optional(
  t.String({ maxLength: 20_000, description: "What must not be in it." }),
);

const model = t.Optional(
  t.String({ minLength: 1, maxLength: 256, description: "The backend's default when absent." }),
);

/** Largest seed that survives JSON in every language: 2^53 - 1. */
export const MAX_SEED = Number.MAX_SAFE_INTEGER;

const seed = t.Optional(
  t.Integer({ minimum: 0, maximum: MAX_SEED, description: "Random when absent." }),
);

const steps = (maximum: number) =>
  t.Optional(t.Integer({ minimum: 1, maximum, description: "Sampling steps." }));

const cfg = t.Optional(
  t.Number({ minimum: 0, maximum: 50, description: "Classifier-free guidance scale." }),
);

const strength = t.Optional(
  t.Number({
    minimum: 0,
    maximum: 1,
    description: "How much of what it starts from may change: 0 nothing, 1 everything.",
  }),
);

const duration_seconds = t.Optional(
  t.Number({ exclusiveMinimum: 0, maximum: 600, description: "The backend's own when absent." }),
);

const format = t.Optional(
  t.Union(
    AUDIO_FORMATS.map((name) => t.Literal(name)),
    { description: "Of the file; as the backend makes it when absent." },
  ),
);

const options = t.Optional(
  t.Record(t.String(), t.Unknown(), {
    description: "What only this backend knows; GET /models tells what it takes.",
  }),
);

export const image = t.Object({
  prompt,
  negative_prompt,
  model,
  width: side("Width"),
  height: side("Height"),
  steps: steps(150),
  cfg,
  seed,
  init_image: optionalFile("image", "A picture to start from."),
  strength,
  options,
});

export const video = t.Object({
  prompt,
  negative_prompt,
  model,
  width: side("Width"),
  height: side("Height"),
  duration_seconds,
  fps: t.Optional(t.Integer({ minimum: 1, maximum: 120, description: "Frames per second." })),
  steps: steps(150),
  cfg,
  seed,
  init_image: optionalFile("image", "The first picture."),
  end_image: optionalFile("image", "The last picture."),
  options,
});

export const audio = t.Object({
  prompt,
  negative_prompt,
  model,
  duration_seconds,
  steps: steps(500),
  cfg,
  seed,
  init_audio: optionalFile("audio", "A sound to start from."),
  strength,
  format,
  options,
});

export const music = t.Object({
  prompt: t.String({ minLength: 1, maxLength: 20_000, description: "What to play, in words." }),
  negative_prompt,
  style: t.Optional(
    t.String({
      minLength: 1,
      maxLength: 1_000,
      description: "Genre, instruments, mood and voice as tags; `prompt` when absent.",
    }),
  ),
  lyrics: t.Optional(
    t.String({
      minLength: 1,
      maxLength: 20_000,
      description: "To be sung; sections may have labels such as [verse] and [chorus].",
    }),
  ),
  model,
  duration_seconds,
  steps: steps(500),
  cfg,
  seed,
  init_audio: optionalFile("audio", "Music to start from, or a melody to follow."),
  strength,
  format,
  options,
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
  model,
  seed,
  voice_sample: optionalFile("audio", "A recording of the voice to speak with."),
  format,
  options,
});

export const none = t.Object({});

/** The shared schema of each kind of work, by which a request's fields are known. */
export const OF_KIND: Readonly<Record<string, TObject>> = {
  "image.generate": image,
  "video.generate": video,
  "audio.generate": audio,
  "music.generate": music,
  "speech.synthesize": speech,
  "text.generate": text,
  "text.embed": embedding,
};
