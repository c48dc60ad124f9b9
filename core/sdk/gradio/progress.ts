/** From Gradio's progress bars to one fraction that never goes back. */
import type { GradioStage } from "./types.ts";
import type { Bar } from "./wire.ts";

export interface Progress {
  /** The whole, 0 to 1; undefined while nothing says how far it is. */
  readonly fraction: number | undefined;
  readonly note: string | undefined;
}

const MAX_NOTE = 200;
/** Nested deeper is no bar that somebody draws; each level is a call of its own. */
const MAX_BARS = 16;

/** One for each run. */
export function createProgress(
  stages: readonly GradioStage[] = [],
): (bars: readonly Bar[]) => Progress {
  const total = stages.reduce((sum, { weight }) => sum + weight, 0);
  let stage = 0;
  let reached: number | undefined;

  return (all) => {
    const bars = all.slice(0, MAX_BARS);
    const note = noteOf(bars);
    const own = nested(bars);
    if (total <= 0) {
      reached = highest(reached, own);
      return { fraction: reached, note };
    }
    const text = bars.map(({ desc }) => desc ?? "").join(" ");
    const found = stages.findIndex(({ match }) => text.includes(match));
    // A bar without a known description belongs to the stage that runs.
    if (found >= 0) stage = found;
    const before = stages.slice(0, stage).reduce((sum, { weight }) => sum + weight, 0);
    const weight = stages[stage]?.weight ?? 0;
    const isKnown = found >= 0 || reached !== undefined;
    if (isKnown) reached = highest(reached, (before + weight * (own ?? 0)) / total);
    return { fraction: reached, note };
  };
}

/** The outermost bar comes first; the next one tells how far its current piece is. */
function nested([bar, ...inner]: readonly Bar[]): number | undefined {
  if (bar === undefined) return undefined;
  const { progress, index, length } = bar;
  if (typeof progress === "number") return clamped(progress);
  if (typeof index !== "number" || typeof length !== "number" || length <= 0) {
    return nested(inner);
  }
  return clamped((index + (nested(inner) ?? 0)) / length);
}

function noteOf(bars: readonly Bar[]): string | undefined {
  const [bar] = bars.toReversed().filter(({ desc }) => (desc ?? "") !== "");
  if (bar === undefined) return undefined;
  const { desc, index, length, unit } = bar;
  const isCounted = typeof index === "number" && typeof length === "number";
  const count = isCounted ? ` ${index}/${length}${unit ? ` ${unit}` : ""}` : "";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal would obey goes.
  return `${desc}${count}`.replace(/[\u0000-\u001f\u007f]+/g, " ").slice(0, MAX_NOTE);
}

function highest(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.max(one, other);
}

function clamped(value: number): number {
  return Number.isFinite(value) ? Math.min(Math.max(value, 0), 1) : 0;
}
