/** What a request asks of any variant, and what can be known to be wrong with it before it runs. */
import { BackendError, type FileReference, type InputFile, inputs, t } from "switchyard/sdk";
import { lyricsProblem } from "./lrc.ts";
import { lengths, type Settings } from "./settings.ts";

/** Largest seed of the app that has one. */
const MAX_SEED = 2 ** 31 - 1;

export const input = t.Composite([
  t.Pick(inputs.music, ["prompt", "style", "lyrics", "init_audio", "format"]),
  t.Object({
    duration_seconds: t.Optional(
      t.Integer({
        minimum: 10,
        maximum: 285,
        description:
          "95, or 96 to 285; DiffRhythm 2 10 to 210. 95 when absent (DiffRhythm 2: 210).",
      }),
    ),
    seed: t.Optional(
      t.Integer({ minimum: 0, maximum: MAX_SEED, description: "Of the app space." }),
    ),
    steps: t.Optional(t.Integer({ minimum: 10, maximum: 64, description: "Sampling steps." })),
    cfg: t.Optional(t.Number({ minimum: 0, maximum: 10, description: "Guidance scale." })),
  }),
]);

/** As TypeBox reads the schema; spelt out because the transports do without it. */
export interface Input {
  readonly prompt: string;
  readonly style?: string;
  readonly lyrics?: string;
  readonly init_audio?: FileReference;
  readonly duration_seconds?: number;
  readonly seed?: number;
  readonly steps?: number;
  readonly cfg?: number;
}

export const secondsOf = ({ duration_seconds }: Input, config: Settings): number =>
  duration_seconds ?? lengths(config)[0];

/** The style in words, or undefined where a recording says it: no program takes both. */
export const styleOf = ({ prompt, style, init_audio }: Input): string | undefined =>
  init_audio === undefined ? (style ?? prompt).replace(/\p{Cc}+/gu, " ").trim() : undefined;

export function check(request: Input, config: Settings): string | undefined {
  const seconds = secondsOf(request, config);
  const [, from, to] = lengths(config);
  if (seconds < from || seconds > to) {
    return `duration_seconds: ${seconds} is not possible, it makes ${from} to ${to} seconds`;
  }
  if (config.variant === "space") {
    const problem = appProblem(request, seconds);
    if (problem !== undefined) return problem;
  }
  if (config.variant === "web" && !twoLengths(seconds)) return TWO_LENGTHS;
  if (styleOf(request) === "") return "prompt: it has no words to take a style from";
  return config.variant === "diffrhythm2" ? undefined : lyricsProblem(request.lyrics, seconds);
}

export const TWO_LENGTHS = "duration_seconds: this app makes songs of 95 and of 285 seconds only";
export const twoLengths = (seconds: number): boolean => seconds === 95 || seconds === 285;

/** What the app of the Space cannot do over its API. */
export function appProblem({ init_audio }: Input, seconds: number): string | undefined {
  if (init_audio === undefined) {
    return (
      "init_audio: this app needs a recording of at least 10 seconds that has the style, because " +
      "its switch to text prompts is in its page alone and cannot be reached over its API"
    );
  }
  return twoLengths(seconds) ? undefined : TWO_LENGTHS;
}

/** What DiffRhythm 1 can open; its code looks at the ending of the name. */
const ENDINGS: Readonly<Record<string, string>> = {
  "audio/wav": "wav",
  "audio/x-wav": "wav",
  "audio/wave": "wav",
  "audio/vnd.wave": "wav",
  "audio/mpeg": "mp3",
  "audio/flac": "flac",
  "audio/x-flac": "flac",
};

/** The recording under a name of ours: one of the servers writes a file of the name that it gets. */
export async function recording(file: InputFile): Promise<File> {
  const ending = ENDINGS[file.mediaType];
  if (ending !== undefined) {
    return new File([await file.blob()], `reference.${ending}`, { type: file.mediaType });
  }
  throw new BackendError(
    "BACKEND_REJECTED",
    `init_audio is ${file.mediaType}, and DiffRhythm reads wav, mp3 and flac`,
  );
}
