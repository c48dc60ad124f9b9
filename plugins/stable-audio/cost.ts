/** GPU memory that Stable Audio needs, where somebody has measured or estimated it. */
import type { VramCost } from "switchyard/sdk";
import type { Request } from "./input.ts";
import { modelOf, type Settings } from "./settings.ts";

interface Row {
  readonly weightsMiB: number;
  readonly perSecondMiB: number;
  readonly mostMiB: number;
  readonly seconds: number;
}

/** What CUDA itself takes in each process; the published peaks leave it out. An estimate. */
const CONTEXT_MIB = 500;

/**
 * Stable Audio 3: peaks from the README of Stability-AI/stable-audio-3@636f906, on an H200, decoded
 * in one piece: small 1.69 GB for 5 s, 2.40 GB for 120 s; medium 5.07 GB for 5 s, 6.52 GB for 380 s.
 */
const SMALL: Row = { weightsMiB: 1_700, perSecondMiB: 6.5, mostMiB: 900, seconds: 120 };
const MEDIUM: Row = { weightsMiB: 5_100, perSecondMiB: 13, mostMiB: 1_600, seconds: 120 };
/**
 * stable-audio-tools with Stable Audio Open: nothing is published. A third party saw 15 GB in full
 * precision (localmodel.run), and this program uses half. An estimate, until it has been measured.
 */
const OPEN: Row = { weightsMiB: 5_000, perSecondMiB: 96, mostMiB: 4_500, seconds: 47 };

export function costOf(input: Request, settings: Settings): VramCost {
  const model = modelOf(settings, input.model);
  const row = model.includes("small") ? SMALL : model.includes("medium") ? MEDIUM : OPEN;
  const seconds = input.duration_seconds ?? row.seconds;
  const weightsMiB = row.weightsMiB + CONTEXT_MIB;
  const workMiB = 100 + Math.ceil(Math.min(row.mostMiB, seconds * row.perSecondMiB));
  const size = seconds * (input.steps ?? 1);
  // The command leaves with its job, so nothing of it stays.
  return settings.variant === "command"
    ? { model, residentMiB: 0, workingMiB: weightsMiB + workMiB, size }
    : { model, residentMiB: weightsMiB, workingMiB: workMiB, size };
}
