/** Who may go next in a group, and what its waiting jobs are worth: shares of keys and priorities. */
import { type Group, headOf, type Line, type Place, type Waiting } from "../ledger.ts";
import type { View } from "./policy.ts";

/** The jobs of one group that may go now: the first of them, and what they add up to. */
export interface Candidate {
  readonly job: Waiting;
  readonly weight: number;
  readonly runMs: number;
}

/** Keys that have used more than this wait for the others; Infinity when there are no others. */
export function shareLimit({ shares, settings }: View): number {
  if (shares.length < 2) return Infinity;
  let least = Infinity;
  for (const { usedMs } of shares) least = Math.min(least, usedMs);
  return least + settings.fairnessMs;
}

/** Undefined when every key that waits here is ahead of the others. */
export function candidateOf(group: Group, limitMs: number): Candidate | undefined {
  const { lines } = group;
  const [only] = lines;
  if (only && lines.length === 1) {
    if (only.share.usedMs > limitMs) return undefined;
    return { job: headOf(only), weight: only.weight, runMs: only.runMs };
  }
  let first: Line | undefined;
  let weight = 0;
  let runMs = 0;
  for (const line of lines) {
    if (line.share.usedMs > limitMs) continue;
    weight += line.weight;
    runMs += line.runMs;
    if (!first || goesFirst(line, first)) first = line;
  }
  return first && { job: headOf(first), weight, runMs };
}

/** What waits for this place brings per millisecond, were it to run at once. */
export function rateOf(place: Place): number {
  let rate = 0;
  for (const { size, weight, runMs } of place.groups) {
    if (size > 0) rate = Math.max(rate, weight / runMs);
  }
  return rate;
}

/**
 * The overdue job that goes next: of the keys that wait for it the one that used least, and of that
 * key's jobs the one that has been overdue longest. So one key's flood is one key's problem.
 */
export function goesOverdueFirst(a: Waiting, b: Waiting): boolean {
  const [used, other] = [a.line.share.usedMs, b.line.share.usedMs];
  return used === other ? a.urgentAtMs < b.urgentAtMs : used < other;
}

/** The higher priority; then the key that used less; then the earlier job. */
function goesFirst(a: Line, b: Line): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority;
  if (a.share !== b.share && a.share.usedMs !== b.share.usedMs) {
    return a.share.usedMs < b.share.usedMs;
  }
  return headOf(a).seq < headOf(b).seq;
}
