/** What a request may say, and what the operator may set. */
import { inputs, type Static, t } from "switchyard/sdk";

export const speechInput = t.Composite([
  inputs.speech,
  t.Object({
    pitch: t.Number({
      default: 1,
      minimum: 0.5,
      maximum: 2,
      description: "Multiplies the voice's base pitch; 1 is the voice's own.",
    }),
    format: t.Literal("wav", { default: "wav", description: "16-bit PCM, mono." }),
  }),
]);

export const voicesInput = t.Object({
  language: t.Optional(
    t.String({
      minLength: 2,
      maxLength: 35,
      description: "Only voices of this language: a BCP 47 tag such as en or pt-BR.",
    }),
  ),
});

export const settings = {
  voice: t.Optional(
    t.String({
      minLength: 1,
      maxLength: 128,
      description: "For requests that name neither a voice nor a language: see GET /tts/voices.",
    }),
  ),
  language: t.String({
    default: "en-US",
    minLength: 2,
    maxLength: 35,
    description: "For requests that name neither a voice nor a language, when no voice is set.",
  }),
  idle_timeout_ms: t.Integer({
    default: 30_000,
    minimum: 0,
    maximum: 3_600_000,
    description: "How long the engine (about 90 MB of memory) stays loaded after a request.",
  }),
};

const settingsObject = t.Object(settings);
export type Settings = Static<typeof settingsObject>;
