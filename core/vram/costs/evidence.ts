/**
 * What measurements leave behind, and how one more changes it. Two shapes serve all four figures:
 * memory (resident of a model, working of a bucket) and time (load of a model, run of a bucket).
 * Pure: no clock, no I/O.
 *
 * Memory must not be claimed too low: the claim is the highest of the last 32 readings. When the
 * highest leaves that window, what was held sinks towards the new highest by a tenth of the
 * difference with each reading, so that one odd reading costs room for a while and not for ever.
 *
 * Time must be right on average, because the order of the queue is computed from means: a plain
 * mean of the first 128 runs, then a moving one of that length. A run that hung until its
 * time-out says little about the next one: one measurement counts at most 16 times the mean. For
 * lognormal runs with sigma 1 that cuts 1 in 2,000 and shifts the mean by less than 1 %.
 */
import { Type as t } from "@sinclair/typebox";
import { createCheck } from "../../validation.ts";
import { MAX_MIB, MAX_MS } from "./cost.ts";

export interface Floor {
  mib: number;
  /** Measured readings since the device last ran out of memory. */
  cleanReadings: number;
}

export interface MemoryEvidence {
  /** The newest readings in MiB, oldest first. */
  recent: number[];
  /** All readings there ever were. */
  samples: number;
  heldMiB: number;
  /** Set when the device ran out of memory. */
  floor?: Floor;
}

export interface TimeEvidence {
  /** The newest measurements in ms, oldest first. */
  recent: number[];
  /** The same ones, smallest first: quantiles are asked for too often to sort each time. */
  sorted: number[];
  samples: number;
  meanMs: number;
}

export interface Evidence {
  memory: MemoryEvidence;
  time: TimeEvidence;
}

export interface Quantiles {
  readonly p50Ms: number;
  readonly p90Ms: number;
}

const MEMORY_WINDOW = 32;
const TIME_WINDOW = 64;
const MEAN_WINDOW = 128;
/** What is above its goal keeps this share of the difference with each reading. */
const SINK = 0.9;
const OUT_OF_MEMORY_FACTOR = 1.25;
/** So many measured readings must pass before a raised claim begins to sink. */
export const CLEAN_READINGS = 16;
const OUTLIER_FACTOR = 16;
export const MIN_QUANTILE_SAMPLES = 5;
const MAX_SAMPLES = 1e9;

const mib = t.Number({ minimum: 0, maximum: MAX_MIB });
const ms = t.Number({ minimum: 0, maximum: MAX_MS });
const samples = t.Integer({ minimum: 0, maximum: MAX_SAMPLES });

/** `Evidence` as it is stored, without what follows from the rest. */
const storedSchema = t.Object({
  memory: t.Object({
    recent: t.Array(mib, { maxItems: MEMORY_WINDOW }),
    samples,
    heldMiB: mib,
    floor: t.Optional(t.Object({ mib, cleanReadings: samples })),
  }),
  time: t.Object({ recent: t.Array(ms, { maxItems: TIME_WINDOW }), samples, meanMs: ms }),
});
const check = createCheck(storedSchema);

export function noEvidence(): Evidence {
  return {
    memory: { recent: [], samples: 0, heldMiB: 0 },
    time: { recent: [], sorted: [], samples: 0, meanMs: 0 },
  };
}

/** `basisMiB`: what the floor counts beside this memory (the resident part, for working memory). */
export function noteReading(memory: MemoryEvidence, readMiB: number, basisMiB: number): void {
  push(memory.recent, readMiB, MEMORY_WINDOW);
  const highest = Math.max(...memory.recent);
  memory.heldMiB = memory.samples === 0 ? highest : sink(memory.heldMiB, highest);
  memory.samples = Math.min(memory.samples + 1, MAX_SAMPLES);
  const { floor } = memory;
  if (!floor) return;
  floor.cleanReadings = Math.min(floor.cleanReadings + 1, MAX_SAMPLES);
  if (floor.cleanReadings <= CLEAN_READINGS) return;
  const needed = memory.heldMiB + basisMiB;
  floor.mib = sink(floor.mib, needed);
  if (floor.mib <= needed) delete memory.floor;
}

/**
 * 1.25 times the peak, or what was claimed where nobody saw a peak. Never below the claim that
 * has just failed, never below an earlier floor.
 */
export function noteOutOfMemory(memory: MemoryEvidence, claimedMiB: number, peakMiB?: number) {
  const wanted = Math.max(claimedMiB, OUT_OF_MEMORY_FACTOR * (peakMiB ?? claimedMiB));
  const raised = Math.min(Math.max(wanted, memory.floor?.mib ?? 0), MAX_MIB);
  memory.floor = { mib: raised, cleanReadings: 0 };
}

export function noteDuration(time: TimeEvidence, tookMs: number): void {
  const known = time.samples >= MIN_QUANTILE_SAMPLES && time.meanMs > 0;
  const counted = known ? Math.min(tookMs, OUTLIER_FACTOR * time.meanMs) : tookMs;
  const leaves = push(time.recent, tookMs, TIME_WINDOW);
  if (leaves !== undefined) time.sorted.splice(placeOf(leaves, time.sorted), 1);
  time.sorted.splice(placeOf(tookMs, time.sorted), 0, tookMs);
  time.samples = Math.min(time.samples + 1, MAX_SAMPLES);
  time.meanMs += (counted - time.meanMs) / Math.min(time.samples, MEAN_WINDOW);
}

/** Nearest rank, so each is a time that was measured; undefined below 5 samples. */
export function quantilesOf({ sorted }: TimeEvidence): Quantiles | undefined {
  if (sorted.length < MIN_QUANTILE_SAMPLES) return undefined;
  const at = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? 0;
  return { p50Ms: at(0.5), p90Ms: at(0.9) };
}

export function encode({ memory, time }: Evidence): string {
  const { recent, samples, meanMs } = time;
  return JSON.stringify({ memory, time: { recent, samples, meanMs } });
}

/** Undefined when it is not what `encode` wrote. */
export function decode(text: string): Evidence | undefined {
  try {
    const checked = check(JSON.parse(text));
    if (!checked.ok) return undefined;
    const { memory, time } = checked.value;
    return { memory, time: { ...time, sorted: [...time.recent].sort((a, b) => a - b) } };
  } catch {
    return undefined;
  }
}

/** Returns what had to go for it. */
function push(recent: number[], value: number, limit: number): number | undefined {
  recent.push(value);
  return recent.length > limit ? recent.shift() : undefined;
}

/** Of the first element that is not below `value`. */
function placeOf(value: number, sorted: readonly number[]): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** From `held` towards `goal`: up at once, down by a tenth; the last MiB at once. */
function sink(held: number, goal: number): number {
  return held - goal < 1 ? goal : goal + (held - goal) * SINK;
}
