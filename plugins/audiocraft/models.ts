/** The models that the programs offer, and the GPU memory that they need. */
import type { ModelEntry, VramCost } from "switchyard/sdk";
import { type Kind, modelFor, type Settings, type VariantName } from "./settings.ts";

const facebook = (prefix: string, endings: readonly string[]): readonly string[] =>
  endings.map((ending) => `facebook/${prefix}-${ending}`);

/** As they stand in the programs' lists; facebookresearch/audiocraft@896ec7c. */
export const MODELS: Readonly<Record<VariantName, readonly string[]>> = {
  musicgen: [
    ...facebook("musicgen", ["small", "medium", "large", "melody", "melody-large"]),
    ...facebook("musicgen-stereo", ["small", "medium", "large", "melody", "melody-large"]),
  ],
  magnet: [
    ...facebook("magnet-small", ["10secs", "30secs"]),
    ...facebook("magnet-medium", ["10secs", "30secs"]),
    ...facebook("audio-magnet", ["small", "medium"]),
  ],
  audiogen: ["facebook/audiogen-medium"],
};

interface Row {
  readonly weightsMiB: number;
  readonly workMiB: number;
}

/**
 * Only models of 1.5 billion parameters (medium, melody) have figures: users see about 12 GB
 * (audiocraft issue 74), the documentation asks for a card of 16 GB. The others are scaled by their
 * parameters, 0.3 and 3.3 billion. Estimates, until they have been measured.
 */
const SMALL: Row = { weightsMiB: 2_000, workMiB: 2_500 };
const MEDIUM: Row = { weightsMiB: 4_500, workMiB: 7_500 };
const LARGE: Row = { weightsMiB: 8_500, workMiB: 12_500 };

/** Music tokens come 50 to the second, and the time that they take is about the same for each. */
const USUAL_SECONDS = 10;

export function costOf(kind: Kind) {
  return (
    input: { readonly model?: string; readonly duration_seconds?: number },
    settings: Settings,
  ): VramCost => {
    const model = modelFor(kind, settings, input.model);
    const { weightsMiB, workMiB } = rowOf(model);
    const size = input.duration_seconds ?? USUAL_SECONDS;
    // AudioGen leaves with its job, so nothing of it stays.
    return settings.variant === "audiogen"
      ? { model, residentMiB: 0, workingMiB: weightsMiB + workMiB, size }
      : { model, residentMiB: weightsMiB, workingMiB: workMiB, size };
  };
}

export function entriesOf(variant: VariantName): readonly ModelEntry[] {
  return MODELS[variant].map((name) => {
    const { weightsMiB, workMiB } = rowOf(name);
    return { name, estimated_mib: weightsMiB + workMiB };
  });
}

function rowOf(model: string): Row {
  if (model.includes("large")) return LARGE;
  return model.includes("small") ? SMALL : MEDIUM;
}
