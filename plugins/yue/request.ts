/** What a song may be asked with, and what each program has a use for. */
import { inputs, type Static, seedOf, t } from "switchyard/sdk";
import { genresForFileName, genresOf, refusedSections, sectionsOf } from "./lyrics.ts";
import { maxSections, type Settings } from "./settings.ts";

const MUSIC = t.Pick(inputs.music, [
  ...(["prompt", "style", "lyrics", "steps", "cfg", "seed"] as const),
  ...(["init_audio", "format", "options"] as const),
]);
export const songInput = t.Composite([
  MUSIC,
  t.Object({
    duration_seconds: t.Optional(
      t.Number({ minimum: 3, maximum: 360, description: "A song may end earlier by itself." }),
    ),
  }),
]);
export type Request = Static<typeof songInput>;

const ALWAYS = ["prompt", "style", "lyrics", "seed", "format", "options"];
const TAKES: Readonly<Record<Settings["variant"], readonly string[]>> = {
  auto: [...ALWAYS, "duration_seconds"],
  "yue2.cpp": [...ALWAYS, "duration_seconds", "steps", "cfg"],
  yuegp: [...ALWAYS, "duration_seconds"],
  yue2: [...ALWAYS, "cfg"],
  "yue-v1": [...ALWAYS, "duration_seconds"],
};

export function takes({ variant, reference_audio }: Settings): readonly string[] {
  const hears = variant === "yuegp" || variant === "yue-v1";
  return reference_audio && hears ? [...TAKES[variant], "init_audio"] : TAKES[variant];
}

export function check(request: Request, config: Settings): string | undefined {
  const { variant } = config;
  if (variant === "auto" || variant === "yue2.cpp") return undefined;
  if (variant === "yue2") {
    return request.lyrics === undefined ? "lyrics are needed: YuE2 sings them" : undefined;
  }
  if (variant === "yue-v1" && genresForFileName(genresOf(request)) === "") {
    return "YuE v1 needs a style in Latin letters; send one in `style`";
  }
  return refusedSections(sectionsOf(request.lyrics ?? ""), maxSections(config));
}

/** The programs take 0 for "any" and nothing above. */
const MAX_SEED = 999_999_999;

/** One of its own for a job that asks for none: the same in every attempt, and told in the end. */
export function ownSeed({ seed }: Request, jobId: string): number {
  const wanted = seed ?? 1 + seedOf(jobId, MAX_SEED - 1);
  return wanted >= 1 && wanted <= MAX_SEED ? wanted : 1 + (wanted % MAX_SEED);
}

/** 100 tokens are a second of one section; the programs make 3,000 unless told, 6,000 at most. */
export function tokensFor({ duration_seconds }: Request, sections: number): number {
  if (duration_seconds === undefined) return 3_000;
  const tokens = Math.round(duration_seconds / sections / 3) * 300;
  return Math.min(6_000, Math.max(300, tokens));
}

export function option<T>(request: Request, name: string, fits: (value: unknown) => value is T) {
  const value: unknown = request.options?.[name];
  return fits(value) ? value : undefined;
}

export const isText = (value: unknown): value is string => typeof value === "string";
export const isNumber = (value: unknown): value is number => typeof value === "number";

/** Of yue2.cpp and of the command of YuE2. */
export const SCORE_OPTIONS = {
  cot: t.Optional(
    t.Union(
      ["full", "melody", "off"].map((mode) => t.Literal(mode)),
      {
        description: "The score that it writes before it sings: with chords, the melody, or none.",
      },
    ),
  ),
  abc: t.Optional(
    t.String({ minLength: 1, maxLength: 100_000, description: "A score in ABC to be sung." }),
  ),
};
