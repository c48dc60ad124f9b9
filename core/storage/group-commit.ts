/**
 * Group commit: what arrives in one turn of the event loop becomes one transaction, so that a
 * durable write costs a share of an fsync and not a whole one. Writes run in the order of their
 * arrival and their promises settle after the commit, in that order.
 */
import type { DatabaseSync } from "node:sqlite";

export interface WriteOptions {
  /**
   * True (the default): on disk, past a power loss, when the promise settles. False: past the death
   * of the process only; for progress and tokens, which no answer has promised.
   */
  readonly durable?: boolean;
  /** May use the space kept back for a full disk: cancelling, finishing, deleting. */
  readonly essential?: boolean;
}

export interface GroupCommit {
  /** `work` is synchronous and may run twice: when another write of its group failed. */
  write<T>(work: () => T, options?: WriteOptions): Promise<T>;
  /** Commits what waits, now. */
  flush(): void;
}

export interface GroupCommitHooks {
  /** Maps a store error (disk full, I/O) to the error that the writers get. */
  failure(error: unknown): Error;
  /** Whether a write may go ahead while the disk is full. */
  admits(essential: boolean): Error | undefined;
  /**
   * After a transaction failed, whoever was in it: true when it is worth one more try (space was
   * made). Does not return when nothing may be tried again (an fsync failed).
   */
  retry(error: unknown): boolean;
}

interface Item {
  readonly work: () => unknown;
  readonly durable: boolean;
  readonly essential: boolean;
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

type Outcome = { readonly value: unknown } | { readonly error: Error };

export function createGroupCommit(sqlite: DatabaseSync, hooks: GroupCommitHooks): GroupCommit {
  const begin = sqlite.prepare("BEGIN IMMEDIATE");
  const commit = sqlite.prepare("COMMIT");
  const rollback = sqlite.prepare("ROLLBACK");
  let waiting: Item[] = [];
  let durable = true;

  function setDurable(wanted: boolean): void {
    if (wanted === durable) return;
    sqlite.exec(`PRAGMA synchronous=${wanted ? "FULL" : "NORMAL"}`);
    durable = wanted;
  }

  /** Runs the items as one transaction and throws what the first failing one threw. */
  function transaction(items: readonly Item[]): Outcome[] {
    setDurable(items.some((item) => item.durable));
    begin.run();
    try {
      const outcomes = items.map((item) => ({ value: item.work() }));
      commit.run();
      return outcomes;
    } catch (error) {
      try {
        rollback.run();
      } catch {
        // SQLite has already rolled back (a full disk does that).
      }
      throw error;
    }
  }

  function attempt(items: readonly Item[], mayRetry = true): Outcome[] {
    try {
      return transaction(items);
    } catch (error) {
      const worthIt = hooks.retry(error);
      if (mayRetry && worthIt) return attempt(items, false);
      // One by one, so that only the culprit fails.
      if (items.length > 1) return items.flatMap((item) => attempt([item]));
      return [{ error: hooks.failure(error) }];
    }
  }

  function flush(): void {
    const batch = waiting;
    waiting = [];
    const admitted = batch.filter((item) => {
      const refusal = hooks.admits(item.essential);
      if (refusal) item.reject(refusal);
      return !refusal;
    });
    if (admitted.length === 0) return;
    const outcomes = attempt(admitted);
    admitted.forEach((item, index) => {
      const outcome = outcomes[index];
      if (outcome && "value" in outcome) item.resolve(outcome.value as never);
      else item.reject(outcome?.error ?? new Error("a write had no outcome"));
    });
  }

  return {
    flush,
    write: (work, { durable = true, essential = false } = {}) =>
      new Promise((resolve, reject) => {
        if (waiting.length === 0) setImmediate(flush);
        waiting.push({ work, durable, essential, resolve, reject });
      }),
  };
}
