/**
 * The evidence in memory: backend -> model -> bucket, at most 4,096 keys. The one used longest ago
 * leaves when another comes; a model leaves with the last of its buckets.
 */
import type { CostId } from "./cost-store.ts";
import { type Evidence, noEvidence } from "./evidence.ts";

export const MAX_KEYS = 4_096;
/** The bucket number under which the evidence of a whole model is stored. */
export const WHOLE_MODEL = -1;

export interface BucketRecord {
  readonly bucket: number;
  readonly evidence: Evidence;
  updatedAtMs: number;
  /** Of the last use, in the table's own count of uses. */
  usedAt: number;
}

export interface ModelRecord<Slot> {
  readonly backend: string;
  readonly model: string;
  readonly evidence: Evidence;
  updatedAtMs: number;
  readonly buckets: Map<number, BucketRecord>;
  /** What the book has worked out, per bucket; emptied with every change of the model. */
  readonly slots: Map<number, Slot>;
}

export interface CostTable<Slot> {
  find(backend: string, model: string): ModelRecord<Slot> | undefined;
  /** Makes what is missing. `left` hears of every row that had to go for it. */
  open(backend: string, model: string, bucket: number): [ModelRecord<Slot>, BucketRecord];
  use(record: BucketRecord): void;
  models(): IterableIterator<ModelRecord<Slot>>;
  remove(model: ModelRecord<Slot>): void;
}

export function createCostTable<Slot>(
  left: (id: CostId) => void,
  maxKeys: number = MAX_KEYS,
): CostTable<Slot> {
  const backends = new Map<string, Map<string, ModelRecord<Slot>>>();
  let keys = 0;
  let uses = 0;

  const find = (backend: string, model: string) => backends.get(backend)?.get(model);

  function* models(): IterableIterator<ModelRecord<Slot>> {
    for (const byName of backends.values()) yield* byName.values();
  }

  function openModel(backend: string, model: string): ModelRecord<Slot> {
    const known = find(backend, model);
    if (known) return known;
    const made: ModelRecord<Slot> = {
      backend,
      model,
      evidence: noEvidence(),
      updatedAtMs: 0,
      buckets: new Map(),
      slots: new Map(),
    };
    const byName = backends.get(backend) ?? new Map<string, ModelRecord<Slot>>();
    backends.set(backend, byName.set(model, made));
    return made;
  }

  function remove(model: ModelRecord<Slot>): void {
    for (const bucket of model.buckets.keys()) left({ ...idOf(model), bucket });
    left({ ...idOf(model), bucket: WHOLE_MODEL });
    keys -= model.buckets.size;
    const byName = backends.get(model.backend);
    byName?.delete(model.model);
    if (byName?.size === 0) backends.delete(model.backend);
  }

  /** Looks at every key, which only a new key beyond the limit has to pay for. */
  function removeOldest(): void {
    let oldest: { model: ModelRecord<Slot>; record: BucketRecord } | undefined;
    for (const model of models()) {
      for (const record of model.buckets.values()) {
        if (!oldest || record.usedAt < oldest.record.usedAt) oldest = { model, record };
      }
    }
    if (!oldest) return;
    const { model, record } = oldest;
    if (model.buckets.size === 1) {
      remove(model);
      return;
    }
    model.buckets.delete(record.bucket);
    model.slots.clear();
    keys -= 1;
    left({ ...idOf(model), bucket: record.bucket });
  }

  return {
    find,
    models,
    remove,
    use(record) {
      record.usedAt = ++uses;
    },
    open(backend, model, bucket) {
      const known = find(backend, model)?.buckets.get(bucket);
      if (!known && keys >= maxKeys) removeOldest();
      const inModel = openModel(backend, model);
      if (known) return [inModel, known];
      const record = { bucket, evidence: noEvidence(), updatedAtMs: 0, usedAt: ++uses };
      inModel.buckets.set(bucket, record);
      keys += 1;
      return [inModel, record];
    },
  };
}

function idOf({ backend, model }: ModelRecord<unknown>): { backend: string; model: string } {
  return { backend, model };
}
