/** The operator's settings, what each variant takes of a request, and what it holds in memory. */
import { type Static, t, type VramCost } from "switchyard/sdk";

/** Programs that make songs with DiffRhythm; `auto` looks which server answers at the URL. */
export const VARIANTS = [
  "auto",
  "space",
  "web",
  "api",
  "webapi",
  "command",
  "diffrhythm2",
] as const;
export type VariantName = (typeof VARIANTS)[number];

const schema = t.Object({
  variant: t.Union(
    VARIANTS.map((name) => t.Literal(name)),
    {
      default: "auto",
      description: "Which program it is; auto finds out which of the servers answers at the URL.",
    },
  ),
  folder: t.String({
    default: "DiffRhythm",
    minLength: 1,
    description: "For command and diffrhythm2: the repository's folder, in which the program runs.",
  }),
  python: t.Array(t.String({ minLength: 1 }), {
    default: ["python"],
    minItems: 1,
    description:
      "For command and diffrhythm2: the Python of its environment, with what stands before the script.",
  }),
  repo_id: t.String({
    default: "ASLP-lab/DiffRhythm2",
    pattern: "^[\\w.-]+/[\\w.-]+$",
    description: "For diffrhythm2: whose weights it loads.",
  }),
  memory_mib: t.Optional(
    t.Integer({
      minimum: 0,
      description: "GPU memory in MiB that a run needs in all, where the estimate is wrong.",
    }),
  ),
});

export const settings = schema.properties;
export type Settings = Omit<Static<typeof schema>, "variant"> & { readonly variant: string };

const COMMON = ["prompt", "style", "lyrics", "duration_seconds", "init_audio", "format"];

const isCommand = (variant: string): boolean => /^(command|diffrhythm2)$/.test(variant);

/** With `auto`, what all servers know: a field that one of them would drop is not taken. */
export function taken({ variant }: Settings): readonly string[] {
  if (variant === "space") return [...COMMON, "seed", "steps", "cfg"];
  if (variant === "web" || variant === "diffrhythm2") return [...COMMON, "steps", "cfg"];
  return COMMON;
}

/** Lengths that it makes, in seconds, its usual one first. */
export function lengths({ variant }: Settings): readonly [usual: number, from: number, to: number] {
  return variant === "diffrhythm2" ? [210, 10, 210] : [95, 95, 285];
}

/** The model for up to 95 s, and the one for more, stay in memory; the work is decoding in pieces. */
const RESIDENT_MIB = 6_000;
const CHUNKED_MIB = 2_500;
/** Decoding in one piece: 14.5 GB for 95 s were seen, and more than 24 GB for 285 s. */
const WHOLE_MIB = { short: 9_000, long: 24_000 };
const SECOND_MIB = 10_000;

/** A command holds nothing between two runs, so all of it is the run's own. */
export function costOf(config: Settings, seconds: number): VramCost {
  const { variant, memory_mib } = config;
  const isShort = seconds <= 95;
  const model = variant === "diffrhythm2" ? "diffrhythm-2" : isShort ? "base" : "full";
  const ownMiB = variant === "space" ? WHOLE_MIB[isShort ? "short" : "long"] : CHUNKED_MIB;
  const wholeMiB = memory_mib ?? (variant === "diffrhythm2" ? SECOND_MIB : RESIDENT_MIB + ownMiB);
  const residentMiB = isCommand(variant) ? 0 : Math.min(RESIDENT_MIB, wholeMiB);
  return { model, residentMiB, workingMiB: wholeMiB - residentMiB, size: seconds };
}
