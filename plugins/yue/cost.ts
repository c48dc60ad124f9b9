/** GPU memory that the programs need, as their authors publish it. 1 GB is 954 MiB. */
import type { VramCost } from "switchyard/sdk";
import { sectionsOf } from "./lyrics.ts";
import type { Request } from "./request.ts";
import { maxSections, type Settings } from "./settings.ts";

/** What CUDA itself takes in a process, which a budget does not count. An estimate. */
const CONTEXT_MIB = 500;

/**
 * yue2.cpp (README@243e098, Q8_0): 4.4 GB of weights and a cache of 2,688 MiB at full context with
 * --keep-loaded; else a song of 65 s peaks at 5.8 GB and nothing stays.
 */
const CPP = { peakMiB: 6_000, weightsMiB: 4_200, cacheMiB: 2_700 };

/**
 * YuEGP (README@552794c): profile 1 needs 16 GB or more, 3 needs 12 GB, 4 and 5 less than 10 GB;
 * the author says that 3 is better off with 16 (issue 6). 2 is between 1 and 3, an estimate.
 * Nobody tells what of it stays between two songs, so all of it counts as staying.
 */
const GP_MIB: Readonly<Record<number, number>> = {
  1: 15_600,
  2: 15_600,
  3: 12_000,
  4: 9_500,
  5: 9_500,
};

/** YuE v1 (README): two sections on 24 GB, a full song of four or more on 80 GB. */
const V1_MIB = { two: 22_500, more: 76_000 };

export function costOf(request: Request, config: Settings): VramCost {
  const size = request.duration_seconds ?? 120;
  switch (config.variant) {
    case "yue2.cpp":
      return config.keep_loaded
        ? { model: "yue2", residentMiB: CPP.weightsMiB, workingMiB: CPP.cacheMiB, size }
        : { model: "yue2", residentMiB: 0, workingMiB: CPP.peakMiB, size };
    case "yue2": {
      const workingMiB = Math.ceil(config.budget_gib * 1_024) + CONTEXT_MIB;
      return { model: "yue2", residentMiB: 0, workingMiB };
    }
    case "yue-v1": {
      const sections = sectionsOf(request.lyrics ?? "").length;
      const workingMiB = sections > 2 ? V1_MIB.more : V1_MIB.two;
      return { model: "yue-v1", residentMiB: 0, workingMiB, size: Math.max(1, sections) };
    }
    default: {
      // Nobody knows yet which of the two answers, so it is the larger one.
      const { variant, profile } = config;
      const sections = Math.min(sectionsOf(request.lyrics ?? "").length, maxSections(config));
      const model = variant === "auto" ? "yue" : "yuegp";
      const residentMiB = GP_MIB[profile] ?? 15_600;
      return { model, residentMiB, workingMiB: 0, size: Math.max(1, sections) };
    }
  }
}
