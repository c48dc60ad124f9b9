/** The operator's settings for one MusicGPT, and what its models are expected to take. */
import { type Static, t, type VramCost } from "switchyard/sdk";

/**
 * Names as `--model` takes them: the server's own words for each, and MiB. Estimates from the number
 * of weights, with the text encoder and an arena of ONNX Runtime on top; nothing was measured.
 */
const MODELS = {
  small: { title: "MusicGen Small", residentMiB: 4_000 },
  "small-fp16": { title: "MusicGen Small Fp16", residentMiB: 2_500 },
  "small-quant": { title: "MusicGen Small Quantized", residentMiB: 2_500 },
  medium: { title: "MusicGen Medium", residentMiB: 9_500 },
  "medium-fp16": { title: "MusicGen Medium Fp16", residentMiB: 5_500 },
  "medium-quant": { title: "MusicGen Medium Quantized", residentMiB: 4_500 },
  large: { title: "MusicGen Large", residentMiB: 17_000 },
} as const;

type ModelName = keyof typeof MODELS;
const names: readonly string[] = Object.keys(MODELS);
const isName = (name: string): name is ModelName => names.includes(name);

const schema = t.Object({
  model: t.Union(
    names.map((name) => t.Literal(name)),
    {
      default: "small",
      description: "What the server was started with, --model; it serves no other.",
    },
  ),
  resident_mib: t.Optional(
    t.Integer({
      minimum: 0,
      description: "GPU memory in MiB that the server holds from its start; 0 on the CPU.",
    }),
  ),
  silence_timeout_ms: t.Integer({
    default: 30_000,
    minimum: 100,
    maximum: 600_000,
    description: "After this long without a word the server is asked anew, over a new connection.",
  }),
});

export const settings = schema.properties;
export type Settings = Omit<Static<typeof schema>, "model"> & { readonly model: string };

/** A setting's name for what the server calls its model; its own words for one that is not known. */
export function nameOf(title: string): string {
  return names.find((name) => isName(name) && MODELS[name].title === title) ?? title;
}

export function costOf(model: string, config: Settings, seconds: number): VramCost {
  const estimate = isName(model) ? MODELS[model].residentMiB : MODELS.large.residentMiB;
  const residentMiB = config.resident_mib ?? estimate;
  return { model, residentMiB, workingMiB: 0, size: seconds };
}
