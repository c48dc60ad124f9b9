/**
 * From evidence and declaration to one estimate. Pure. The rules, with their reasons:
 *
 * - Memory: the highest confirmed reading (evidence.ts), but below 8 samples never less than the
 *   share (8 - samples)/8 of the declaration, because the first requests may be the small ones of
 *   their bucket: sizes within it differ by a factor of two. A reading above the declaration
 *   counts at once. Resident memory belongs to the model and not to the size of a request.
 * - Out of memory: resident and working together claim at least the raised floor; what the
 *   resident part does not cover is added to the working part.
 * - Time: the mean, with the declaration as 3 more measurements; a default that nobody declared
 *   counts as half of one. Both fade as 1/samples.
 * - A size not seen before borrows from the nearest bucket of the same model, at most 6 doublings
 *   away, scaled by two for each. The smaller of two equally near ones lends: scaled up, it errs
 *   towards more. Borrowed time replaces the declaration in proportion to the lender's samples.
 *   Borrowed memory only raises, and at most doubles what was declared, because an extrapolation
 *   must not make a request infeasible. Neither counts as samples.
 * - What the operator has fixed wins, also over an out-of-memory floor.
 */
import { type Estimate, MAX_MIB, MAX_MS, type Override, type Prior } from "./cost.ts";
import { type Evidence, type MemoryEvidence, quantilesOf, type TimeEvidence } from "./evidence.ts";

/** The nearest bucket that has something to lend, and what its figures are multiplied by. */
export interface Lender<Kind> {
  readonly evidence: Kind;
  readonly scale: number;
}

/** Everything that is known when one estimate is made. */
export interface Known {
  /** Of the model: memory is the resident part, time the load. */
  readonly model: Evidence;
  /** Of the bucket: memory is the working part, time the run. */
  readonly bucket: Evidence;
  readonly workingLender: Lender<MemoryEvidence> | undefined;
  readonly runLender: Lender<TimeEvidence> | undefined;
}

/** What is assumed when nobody has declared a time. */
export interface Defaults {
  loadMs(residentMiB: number): number;
  readonly runMs: number;
}

const FULL_MEMORY_SAMPLES = 8;
const DECLARED_WEIGHT = 3;
const DEFAULT_WEIGHT = 0.5;
const MAX_DOUBLINGS = 6;

export function estimateOf(
  known: Known,
  prior: Prior,
  override: Override | undefined,
  defaults: Defaults,
): Estimate {
  const { model, bucket } = known;
  const run = quantilesOf(bucket.time);
  const residentMiB = wholeMiB(override?.residentMiB ?? residentOf(known, prior));
  const workingMiB = wholeMiB(override?.workingMiB ?? workingOf(known, prior, residentMiB));
  const loadMs =
    override?.loadMs ?? loadOf(model.time, prior.loadMs, () => defaults.loadMs(residentMiB));
  const runMs = override?.runMs ?? runOf(known, prior.runMs, defaults.runMs);
  return {
    residentMiB,
    workingMiB,
    loadMs: saneMs(loadMs),
    runMs: saneMs(runMs),
    runP50Ms: run?.p50Ms,
    runP90Ms: run?.p90Ms,
    loadP90Ms: quantilesOf(model.time)?.p90Ms,
    samples: {
      resident: model.memory.samples,
      working: bucket.memory.samples,
      load: model.time.samples,
      run: bucket.time.samples,
    },
    source: sourceOf(known, override),
  };
}

/** Looks among the buckets of one model. `has`: whether a bucket has anything to lend. */
export function lenderFor<Kind>(
  bucket: number,
  buckets: Iterable<readonly [number, Kind]>,
  has: (evidence: Kind) => boolean,
): Lender<Kind> | undefined {
  let nearest: { bucket: number; distance: number; evidence: Kind } | undefined;
  for (const [other, evidence] of buckets) {
    const distance = Math.abs(other - bucket);
    if (distance === 0 || distance > MAX_DOUBLINGS || !has(evidence)) continue;
    const nearer =
      !nearest ||
      distance < nearest.distance ||
      (distance === nearest.distance && other < nearest.bucket);
    if (nearer) nearest = { bucket: other, distance, evidence };
  }
  return nearest && { evidence: nearest.evidence, scale: 2 ** (bucket - nearest.bucket) };
}

function residentOf({ model }: Known, prior: Prior): number {
  const learned = learnedMiB(model.memory, saneMiB(prior.residentMiB));
  return Math.max(learned, model.memory.floor?.mib ?? 0);
}

function workingOf({ bucket, workingLender }: Known, prior: Prior, residentMiB: number): number {
  const declared = saneMiB(prior.workingMiB);
  let expected = declared;
  if (workingLender) {
    const { evidence, scale } = workingLender;
    const lent = scale * Math.max(evidence.heldMiB, (evidence.floor?.mib ?? 0) - residentMiB);
    expected = Math.max(declared, declared > 0 ? Math.min(lent, 2 * declared) : lent);
  }
  const learned = learnedMiB(bucket.memory, expected);
  return Math.max(learned, (bucket.memory.floor?.mib ?? 0) - residentMiB);
}

function learnedMiB(memory: MemoryEvidence, expectedMiB: number): number {
  const share = Math.max(0, FULL_MEMORY_SAMPLES - memory.samples) / FULL_MEMORY_SAMPLES;
  return Math.max(memory.heldMiB, share * expectedMiB);
}

function loadOf(time: TimeEvidence, declaredMs: number | undefined, fallback: () => number) {
  if (declaredMs !== undefined) return blend(time, saneMs(declaredMs), DECLARED_WEIGHT);
  return blend(time, saneMs(fallback()), DEFAULT_WEIGHT);
}

function runOf({ bucket, runLender }: Known, declaredMs: number | undefined, defaultMs: number) {
  const weight = declaredMs === undefined ? DEFAULT_WEIGHT : DECLARED_WEIGHT;
  const assumed = saneMs(declaredMs ?? defaultMs);
  const expected = runLender
    ? blend(runLender.evidence, assumed, weight, runLender.scale)
    : assumed;
  return blend(bucket.time, expected, runLender ? DECLARED_WEIGHT : weight);
}

/** The mean of the measurements (scaled) and `weight` more of `expectedMs`. */
function blend(time: TimeEvidence, expectedMs: number, weight: number, scale = 1): number {
  const { samples, meanMs } = time;
  return (weight * expectedMs + samples * meanMs * scale) / (weight + samples);
}

function sourceOf(known: Known, override: Override | undefined): Estimate["source"] {
  if (override?.residentMiB !== undefined || override?.workingMiB !== undefined) return "operator";
  const { model, bucket, workingLender } = known;
  const measured = isMeasured(model.memory) || isMeasured(bucket.memory) || workingLender;
  return measured ? "learned" : "declared";
}

/** Whether there is anything but silence: readings, or a device that ran out of memory. */
export function isMeasured(memory: MemoryEvidence): boolean {
  return memory.samples > 0 || memory.floor !== undefined;
}

const wholeMiB = (mib: number): number => Math.ceil(saneMiB(mib));
const saneMiB = (mib: number): number => within(mib, MAX_MIB);
const saneMs = (ms: number): number => within(ms, MAX_MS);

/** Declarations come from plugins and configuration: nonsense counts as nothing. */
function within(value: number, max: number): number {
  return value > 0 ? Math.min(value, max) : 0;
}
