/**
 * After an abort a server may go on computing: until that is over its lease is an orphan. A process
 * that the gateway runs is stopped for it; of any other server its health has to tell.
 */
import type { Clock } from "../clock.ts";
import { type Log, messageOf } from "../log.ts";
import type { BackendPort } from "./ports.ts";

/** Work that was told to stop. */
export interface Orphan {
  readonly jobId: string;
  readonly backend: string;
  readonly port: BackendPort;
  /** When it began, monotonic milliseconds. */
  readonly startedAtMs: number;
  /** Settles when `run` has. */
  readonly finished: Promise<unknown>;
  /** Says how far it has come. */
  readonly become: (state: "orphan" | "stopping_process") => void;
}

export interface Orphans {
  /** Settles when nothing of it computes any more, as far as anybody can know. */
  untilIdle(orphan: Orphan): Promise<void>;
}

export interface OrphansOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** How long `run` has to settle. */
  readonly graceMs: number;
  /** Whether other work runs there that nobody wants to stop. */
  readonly isWanted: (backend: string) => boolean;
}

/** Longest that the lease is held against a backend that cannot say whether it computes. */
const LIMIT_MS = 10 * 60_000;
const POLL_MS = 2_000;

export function createOrphans({ clock, log, graceMs, isWanted }: OrphansOptions): Orphans {
  /** Monotonic time of the last stop of a backend's process: what began before is gone. */
  const stoppedAtMs = new Map<string, number>();

  async function stopProcess({ jobId, backend, port, become }: Orphan): Promise<void> {
    log.warn("its process is stopped: it goes on after it was asked to stop", {
      job: jobId,
      backend,
    });
    become("stopping_process");
    try {
      await port.stopProcess?.();
      stoppedAtMs.set(backend, clock.monotonicMs());
    } catch (error) {
      log.error("a backend's process was not stopped", { backend, error: messageOf(error) });
    }
  }

  return {
    async untilIdle(orphan) {
      const { jobId, backend, port, finished } = orphan;
      let done = false;
      void finished.then(() => {
        done = true;
      });
      if (await within(finished, graceMs)) return;
      log.warn("the backend goes on after it was asked to stop; its lease is kept", { job: jobId });
      orphan.become("orphan");
      const untilMs = clock.monotonicMs() + LIMIT_MS;
      let mayStop = port.stopProcess !== undefined;
      while (!done && clock.monotonicMs() < untilMs) {
        if ((stoppedAtMs.get(backend) ?? -1) >= orphan.startedAtMs) return;
        // The others on a server that takes several jobs are not to be lost for this one.
        if (mayStop && !isWanted(backend)) {
          mayStop = false;
          await within(stopProcess(orphan), LIMIT_MS);
          orphan.become("orphan");
        } else {
          if (!(await port.busy())) return;
          await within(finished, POLL_MS);
        }
      }
    },
  };
}

/** True when the promise settles in time. */
export async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, ms, false);
  });
  const result = await Promise.race([promise.then(() => true), timeout]);
  clearTimeout(timer);
  return result;
}
