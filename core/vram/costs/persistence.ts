/**
 * Writes what changed, at most every two seconds and in one relaxed commit: a crash loses at most
 * those seconds of learning. A write that fails (a full disk) is tried again with the next one.
 */
import { type Log, messageOf } from "../../log.ts";
import type { CostId, CostStore, StoredCost } from "./cost-store.ts";

const INTERVAL_MS = 2_000;

export interface Persistence {
  /** This row differs from what is stored, or is gone. */
  changed(id: CostId): void;
  /** Settles when everything is stored, or the attempt has failed and is logged. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** `current` is asked when the row is written: undefined when it is gone. */
export function createPersistence(
  store: CostStore,
  log: Log,
  current: (id: CostId) => StoredCost | undefined,
): Persistence {
  const dirty = new Map<string, CostId>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let writing: Promise<void> | undefined;
  let closed = false;
  let failing = false;

  function schedule(): void {
    if (closed || timer !== undefined || dirty.size === 0) return;
    timer = setTimeout(() => void flush(), INTERVAL_MS);
    timer.unref();
  }

  async function write(): Promise<void> {
    const ids = [...dirty.values()];
    dirty.clear();
    const put: StoredCost[] = [];
    const gone: CostId[] = [];
    for (const id of ids) {
      const row = current(id);
      if (row) put.push(row);
      else gone.push(id);
    }
    try {
      await store.write(put, gone);
      failing = false;
    } catch (error) {
      for (const id of ids) dirty.set(nameOf(id), id);
      if (!failing) log.warn("learned costs cannot be stored yet", { reason: messageOf(error) });
      failing = true;
    }
  }

  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    // What changed during a write is not in it.
    while (writing) await writing;
    if (dirty.size === 0) return;
    writing = write();
    await writing;
    writing = undefined;
    schedule();
  }

  return {
    changed(id) {
      dirty.set(nameOf(id), id);
      schedule();
    },
    flush,
    close() {
      closed = true;
      return flush();
    },
  };
}

const nameOf = ({ backend, model, bucket }: CostId): string =>
  JSON.stringify([backend, model, bucket]);
