/**
 * What a job takes on the GPU, estimated high: WanGP says little, and what was measured counts soon.
 * Figures from its README, docs/GETTING_STARTED.md and docs/CHANGELOG.md (v12.60).
 */
import type { VramCost } from "switchyard/sdk";
import { type Kind, modelOf, type Request } from "./input.ts";
import type { Settings } from "./settings.ts";

/** MiB while a model works, before the size of the work counts; the first pattern that fits. */
const BASES: readonly (readonly [RegExp, number])[] = [
  [/1\.3B/i, 5_500],
  [/(^|_)[45]b\b|ti2v_2_2|z_image|ovi/i, 8_000],
  [/audio|tts|chatterbox|ace_step|heartmula|yue|music/i, 7_000],
];
const LARGE_MIB = 11_000;
/** LTX-2 grows by 8 to 15 MiB for each million pixels of all frames, MiniMax H3 by 31. */
const MIB_PER_MEGAPIXEL = 20;
/** What PyTorch keeps while the weights wait in the computer's memory. */
const IDLE_MIB = 1_000;
const USUAL = { width: 832, height: 480, seconds: 5, fps: 24 };

export function costOf(kind: Kind, request: Request, config: Settings): VramCost {
  const model = modelOf(kind, request, config);
  const size = sizeOf(kind, request);
  const grows = kind === "video.generate" || kind === "image.generate";
  const base = config.working_mib[model] ?? baseOf(model);
  const extra = grows ? Math.ceil((size / 1_000_000) * MIB_PER_MEGAPIXEL) : 0;
  const residentMiB = config.variant === "cli" ? 0 : IDLE_MIB;
  const most = Math.max(config.largest_mib - residentMiB, 0);
  return { model, residentMiB, workingMiB: Math.min(base + extra, most), size };
}

/** Pixels of all frames; seconds of sound; characters of speech. */
function sizeOf(kind: Kind, request: Request): number {
  const { width = USUAL.width, height = USUAL.height, fps = USUAL.fps } = request;
  const { duration_seconds = USUAL.seconds, text = "" } = request;
  if (kind === "image.generate") return width * height;
  if (kind === "video.generate") return Math.max(width * height * duration_seconds * fps, 1);
  return kind === "speech.synthesize" ? Math.max(text.length, 1) : duration_seconds;
}

function baseOf(model: string): number {
  return BASES.find(([pattern]) => pattern.test(model))?.[1] ?? LARGE_MIB;
}
