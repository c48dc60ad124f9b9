/** What a request may say, and what the operator may set. */
import { inputs, type Static, t } from "switchyard/sdk";

export const speechInput = t.Pick(inputs.speech, [
  ...(["text", "voice", "language", "speed", "format", "options"] as const),
]);

/** What stands in `options`. */
export const speechOptions = {
  pitch: t.Number({
    default: 1,
    minimum: 0.5,
    maximum: 2,
    description: "Multiplies the voice's base pitch; 1 is the voice's own.",
  }),
};

/** The pitch of a request, within its limits; 1 when it names none. */
export function pitchOf(options: Readonly<Record<string, unknown>> = {}): number {
  const { pitch } = options;
  return typeof pitch === "number" && pitch >= 0.5 && pitch <= 2 ? pitch : 1;
}

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
