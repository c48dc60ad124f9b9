/**
 * Learned costs: what a request of some backend, model and size really takes in MiB and in time.
 * The declaration is only the prior; the probe and the clock replace it as evidence grows.
 *
 * - evidence.ts: what measurements leave behind, and how one more changes it.
 * - estimate.ts: the rules from evidence, declaration and the operator's word to an estimate.
 * - observation.ts: which measurement belongs to what, and which is nonsense.
 * - size-bucket.ts: which sizes learn together. Working memory and run time are per bucket,
 *   resident memory and load time per model over all buckets.
 * - cost-table.ts: the bound, 4,096 keys. persistence.ts and stored.ts: to the disk and back.
 *
 * Estimates are the book's own opinion and are not cut to any device: the caller caps them. An
 * estimate with `samples.working` 0 may be borrowed from another size; nobody should be refused
 * for ever because of it.
 */
import type { Clock } from "../../clock.ts";
import type { Log } from "../../log.ts";
import type { CostEntry, CostKey, Estimate, Observation, Override, Prior } from "./cost.ts";
import type { CostId, CostStore, StoredCost } from "./cost-store.ts";
import { type BucketRecord, createCostTable, type ModelRecord, WHOLE_MODEL } from "./cost-table.ts";
import { type Defaults, estimateOf, isMeasured, type Known, lenderFor } from "./estimate.ts";
import { encode, noEvidence, quantilesOf } from "./evidence.ts";
import { faultIn, note } from "./observation.ts";
import { createPersistence } from "./persistence.ts";
import { MAX_BUCKET } from "./size-bucket.ts";
import { restore } from "./stored.ts";

export type {
  CostEntry,
  CostKey,
  Estimate,
  Observation,
  Override,
  Prior,
  Samples,
} from "./cost.ts";
export { type CostStore, forgetfulCostStore } from "./cost-store.ts";
export { sizeBucket } from "./size-bucket.ts";

export interface CostBook {
  /** O(1), and kept until something changes: a scheduler may ask in every round. */
  estimate(key: CostKey, prior: Prior): Estimate;
  /** Nonsense (not finite, negative, beyond 16 TiB or 7 days) is dropped with a line in the log. */
  observe(observation: Observation): void;
  /**
   * Rises whenever `estimate` may answer something new, so that callers can keep what they made of
   * the answers. Not with a change of the overrides, which the caller knows of.
   */
  readonly version: number;
  /** Everything known, by backend, model and bucket. */
  list(): readonly CostEntry[];
  /** Without a filter: everything. */
  forget(filter?: { readonly backend?: string; readonly model?: string }): void;
  /** Settles when everything so far is stored, or could not be and is logged; never rejects. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface CostBookOptions {
  readonly store: CostStore;
  /** Asked with every estimate, so that a changed configuration counts at once. */
  readonly overrides: (backend: string, model: string) => Override | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly defaults: Defaults;
}

/** The last answer for a bucket, and what it was made from. */
interface Slot {
  readonly record: BucketRecord | undefined;
  readonly known: Known;
  last?: {
    readonly prior: Prior;
    readonly override: Override | undefined;
    readonly answer: Estimate;
  };
}

const NOTHING = noEvidence();
const NOTHING_KNOWN: Known = {
  model: NOTHING,
  bucket: NOTHING,
  workingLender: undefined,
  runLender: undefined,
};

export function createCostBook(options: CostBookOptions): CostBook {
  const { store, overrides, clock, log, defaults } = options;
  const table = createCostTable<Slot>((id) => persistence.changed(id));
  const persistence = createPersistence(store, log, rowOf);
  let version = 0;
  restore(table, store, log);

  function rowOf(id: CostId): StoredCost | undefined {
    const model = table.find(id.backend, id.model);
    const record = id.bucket === WHOLE_MODEL ? model : model?.buckets.get(id.bucket);
    if (!record) return undefined;
    return { ...id, evidence: encode(record.evidence), updatedAt: record.updatedAtMs };
  }

  return {
    get version() {
      return version;
    },
    estimate(key, prior) {
      const override = overrides(key.backend, key.model);
      const model = table.find(key.backend, key.model);
      if (!model) return estimateOf(NOTHING_KNOWN, prior, override, defaults);
      const bucket = bucketOf(key);
      const slot = model.slots.get(bucket) ?? openSlot(model, bucket);
      if (slot.record) table.use(slot.record);
      const { last } = slot;
      if (last && same(last.prior, prior) && same(last.override, override)) return last.answer;
      const answer = estimateOf(slot.known, prior, override, defaults);
      slot.last = { prior: { ...prior }, override: override && { ...override }, answer };
      return answer;
    },
    observe(observation) {
      const { kind, key } = observation;
      const fault = faultIn(observation);
      if (fault !== undefined) {
        log.debug("a measurement of costs is dropped", { kind, backend: key.backend, fault });
        return;
      }
      const bucket = bucketOf(key);
      const [model, record] = table.open(key.backend, key.model, bucket);
      note(observation, model.evidence, record.evidence);
      model.slots.clear();
      table.use(record);
      model.updatedAtMs = Math.trunc(clock.nowMs());
      record.updatedAtMs = model.updatedAtMs;
      for (const row of [bucket, WHOLE_MODEL]) {
        persistence.changed({ backend: model.backend, model: model.model, bucket: row });
      }
      version += 1;
    },
    list: () =>
      [...table.models()]
        .flatMap((model) => [...model.buckets.values()].map((record) => entryOf(model, record)))
        .sort(
          (a, b) =>
            compare(a.backend, b.backend) || compare(a.model, b.model) || a.bucket - b.bucket,
        ),
    forget({ backend, model } = {}) {
      for (const known of [...table.models()]) {
        if (backend !== undefined && known.backend !== backend) continue;
        if (model !== undefined && known.model !== model) continue;
        table.remove(known);
      }
      version += 1;
    },
    flush: persistence.flush,
    close: persistence.close,
  };
}

/** Dear by comparison: looks at all buckets of the model. */
function openSlot(model: ModelRecord<Slot>, bucket: number): Slot {
  const record = model.buckets.get(bucket);
  const evidence = record?.evidence ?? NOTHING;
  const all = [...model.buckets.values()];
  const slot: Slot = {
    record,
    known: {
      model: model.evidence,
      bucket: evidence,
      workingLender: lenderFor(
        bucket,
        all.map((other) => [other.bucket, other.evidence.memory] as const),
        isMeasured,
      ),
      runLender: lenderFor(
        bucket,
        all.map((other) => [other.bucket, other.evidence.time] as const),
        ({ samples }) => samples > 0,
      ),
    },
  };
  model.slots.set(bucket, slot);
  return slot;
}

function bucketOf({ bucket }: CostKey): number {
  return bucket > 0 ? Math.min(Math.trunc(bucket), MAX_BUCKET) : 0;
}

function same(a: Override | undefined, b: Override | undefined): boolean {
  return (
    a?.residentMiB === b?.residentMiB &&
    a?.workingMiB === b?.workingMiB &&
    a?.loadMs === b?.loadMs &&
    a?.runMs === b?.runMs
  );
}

function entryOf(model: ModelRecord<Slot>, record: BucketRecord): CostEntry {
  const { memory: resident, time: load } = model.evidence;
  const { memory: working, time: run } = record.evidence;
  const loadQuantiles = quantilesOf(load);
  const runQuantiles = quantilesOf(run);
  const floorMiB = Math.max(resident.floor?.mib ?? 0, working.floor?.mib ?? 0);
  return {
    backend: model.backend,
    model: model.model,
    bucket: record.bucket,
    ...(resident.samples > 0 && { residentMiB: Math.ceil(resident.heldMiB) }),
    ...(working.samples > 0 && { workingMiB: Math.ceil(working.heldMiB) }),
    ...(load.samples > 0 && { loadMs: load.meanMs }),
    ...(loadQuantiles && { loadP90Ms: loadQuantiles.p90Ms }),
    ...(run.samples > 0 && { runMs: run.meanMs }),
    ...(runQuantiles && { runP50Ms: runQuantiles.p50Ms, runP90Ms: runQuantiles.p90Ms }),
    ...(floorMiB > 0 && { outOfMemoryFloorMiB: Math.ceil(floorMiB) }),
    samples: {
      resident: resident.samples,
      working: working.samples,
      load: load.samples,
      run: run.samples,
    },
    updatedAtMs: record.updatedAtMs,
  };
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
