/** A cost book with a store in memory that a test can look into and break. */

import { silentLog } from "../../../../core/log.ts";
import {
  type CostBook,
  type CostBookOptions,
  type CostStore,
  createCostBook,
  type Observation,
  type Prior,
} from "../../../../core/vram/costs/cost-book.ts";

type Rows = ReturnType<CostStore["load"]>;

export interface MemoryStore extends CostStore {
  readonly rows: Map<string, Rows[number]>;
  readonly writes: number[];
  /** While set, writes fail with it. */
  failure: Error | undefined;
}

export function memoryStore(): MemoryStore {
  const rows = new Map<string, Rows[number]>();
  const writes: number[] = [];
  const id = (row: { backend: string; model: string; bucket: number }) =>
    `${row.backend}\n${row.model}\n${row.bucket}`;
  const store: MemoryStore = {
    rows,
    writes,
    failure: undefined,
    load: () => [...rows.values()],
    async write(put, remove) {
      if (store.failure) throw store.failure;
      writes.push(put.length + remove.length);
      for (const gone of remove) rows.delete(id(gone));
      for (const row of put) rows.set(id(row), row);
    },
  };
  return store;
}

/** Wall clock that a test may move. */
export const clock = { now: 1_700_000_000_000, nowMs: () => clock.now, monotonicMs: () => 0 };

export const DEFAULTS: CostBookOptions["defaults"] = {
  loadMs: (residentMiB) => 2_000 + residentMiB,
  runMs: 30_000,
};

export const PRIOR: Prior = { residentMiB: 8_000, workingMiB: 2_000, loadMs: 9_000, runMs: 4_000 };

export function openBook(options: Partial<CostBookOptions> = {}): CostBook {
  return createCostBook({
    store: memoryStore(),
    overrides: () => undefined,
    clock,
    log: silentLog,
    defaults: DEFAULTS,
    ...options,
  });
}

export const key = (bucket = 20, model = "flux", backend = "comfyui") => ({
  backend,
  model,
  bucket,
});

export function observeAll(book: CostBook, observations: readonly Observation[]): void {
  for (const observation of observations) book.observe(observation);
}

export const resident = (mib: number, of = key()): Observation => ({
  kind: "resident",
  key: of,
  mib,
});
export const working = (mib: number, of = key()): Observation => ({
  kind: "working",
  key: of,
  mib,
});
export const load = (ms: number, of = key()): Observation => ({ kind: "load", key: of, ms });
export const run = (ms: number, of = key()): Observation => ({ kind: "run", key: of, ms });

export const repeat = (count: number, observation: Observation): Observation[] =>
  Array.from({ length: count }, () => observation);
