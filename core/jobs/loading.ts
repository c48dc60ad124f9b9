/**
 * Writes that jobs wait for a model on its way. One load may be what thousands wait for: their rows
 * are written a few per commit, so that nobody else's commit has to wait for all of them.
 */
import { type Log, messageOf } from "../log.ts";
import type { Change } from "./changes.ts";
import type { JobStore } from "./store.ts";

export interface LoadingNotes {
  /** Changes nothing when the job does not wait any more by then. */
  add(jobId: string): void;
}

export interface LoadingNotesPorts {
  readonly store: Pick<JobStore, "wait">;
  readonly publish: (change: Change) => void;
  readonly log: Log;
}

const ROWS_PER_COMMIT = 50;

export function createLoadingNotes({ store, publish, log }: LoadingNotesPorts): LoadingNotes {
  const waiting = new Set<string>();
  let writing = false;

  async function write(jobId: string): Promise<void> {
    waiting.delete(jobId);
    try {
      const change = await store.wait(jobId, "loading");
      if (change) publish(change);
    } catch (error) {
      // Like progress: not worth a second try, for the next event says where the job is.
      log.warn("a phase was not stored", { job: jobId, error: messageOf(error) });
    }
  }

  async function writeAll(): Promise<void> {
    writing = true;
    while (waiting.size > 0) await Promise.all([...waiting].slice(0, ROWS_PER_COMMIT).map(write));
    writing = false;
  }

  return {
    add(jobId) {
      waiting.add(jobId);
      if (!writing) void writeAll();
    },
  };
}
