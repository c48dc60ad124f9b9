/** The operator's settings for one AllTalk, and what its engines cost. */
import { type Static, t, type VramCost } from "switchyard/sdk";

/** MiB of the model on the GPU; AllTalk's wiki says 2 to 4 GB, its issue 594 3 GB for XTTS. */
const RESIDENT_MIB = {
  auto: 4_000,
  xtts: 3_000,
  f5tts: 4_000,
  parler: 4_000,
  vits: 2_000,
  piper: 0,
};
const WORKING_MIB = 700;

export type Engine = keyof typeof RESIDENT_MIB;
const engines: readonly Engine[] = ["auto", "xtts", "f5tts", "parler", "vits", "piper"];

const schema = t.Object({
  engine: t.Union(
    engines.map((name) => t.Literal(name)),
    {
      default: "auto",
      description:
        "The speech engine that AllTalk is set to, for the memory it takes: piper needs no GPU. " +
        "auto counts as the largest.",
    },
  ),
  voice: t.Optional(
    t.String({
      minLength: 1,
      maxLength: 128,
      description: "For requests that name none; AllTalk's own when absent. See GET /tts/voices.",
    }),
  ),
  language: t.String({
    default: "auto",
    minLength: 2,
    maxLength: 35,
    description: "Of requests that name none: a BCP 47 tag, or auto to let AllTalk guess it.",
  }),
  max_characters: t.Integer({
    default: 2_000,
    minimum: 50,
    maximum: 20_000,
    description: "Longest text of one call, as AllTalk's api_max_characters; longer text is split.",
  }),
  part_timeout_ms: t.Integer({
    default: 600_000,
    minimum: 1_000,
    maximum: 7_200_000,
    description: "Longest wait for the speech of one call: AllTalk says nothing until it is done.",
  }),
  free_by_low_vram: t.Boolean({
    default: true,
    description:
      "Makes room by AllTalk's LowVRAM mode: from then on the model is on the GPU only while it " +
      "speaks, which costs 1 to 2 s a request.",
  }),
  resident_mib: t.Optional(
    t.Integer({ minimum: 0, description: "The model's GPU memory in MiB; by engine when absent." }),
  ),
});

export const settings = schema.properties;
export type Settings = Static<typeof schema>;

export function costOf({ text }: { readonly text: string }, config: Settings): VramCost {
  const residentMiB = config.resident_mib ?? RESIDENT_MIB[config.engine];
  const workingMiB = residentMiB === 0 ? 0 : WORKING_MIB;
  return { model: config.engine, residentMiB, workingMiB, size: text.length };
}
