/**
 * Pending jobs in memory: each waits for its time (after a retry) and then for a lease. The row on
 * disk is the truth; this only knows whom to wake. Deadlines are monotonic: a clock that jumps
 * expires nothing early.
 */
import type { Clock } from "../clock.ts";
import { GatewayError } from "../errors.ts";
import type { AdmissionPort, Choices, LeasePort } from "./ports.ts";
import type { JobRow } from "./row.ts";

/** How often deadlines are looked at. */
const SWEEP_MS = 250;

export interface QueueItem {
  readonly row: JobRow;
  /** Asked when the job begins to wait for a lease: after a pause others may work than before. */
  readonly choices: () => Choices;
  /** True for work that was running when the gateway stopped. */
  readonly resume: boolean;
}

export interface Queue {
  add(item: QueueItem): void;
  /** Forgets the job; a lease that it was about to get is given back. */
  remove(jobId: string): void;
  /** No further grants. */
  stop(): void;
  readonly size: number;
}

export interface QueuePorts {
  readonly admission: AdmissionPort;
  readonly clock: Clock;
  readonly keyWeight?: (keyId: string) => number | undefined;
  /** Owns the lease from then on. */
  readonly granted: (jobId: string, lease: LeasePort) => void;
  /** Its model is on its way; told once. */
  readonly loading: (jobId: string) => void;
  /** It will never get a lease; the job has no place any more. */
  readonly refused: (row: JobRow, error: unknown) => void;
  /** `start_by` has passed. */
  readonly expired: (jobId: string) => void;
}

interface Place {
  readonly abort: AbortController;
  readonly startByMs: number;
}

export function createQueue(ports: QueuePorts): Queue {
  const { admission, clock } = ports;
  const places = new Map<string, Place>();

  async function wait({ row, choices, resume }: QueueItem, place: Place): Promise<void> {
    const { signal } = place.abort;
    const pauseMs = pauseOf(row, clock.nowMs());
    if (pauseMs > 0) await pause(pauseMs, signal);
    let told = false;
    const request = {
      jobId: row.id,
      keyId: row.keyId,
      keyWeight: ports.keyWeight?.(row.keyId),
      choices: choices(),
      priority: row.priority,
      resume,
      startByMs: Number.isFinite(place.startByMs) ? place.startByMs : undefined,
      loading() {
        if (!told && !signal.aborted) ports.loading(row.id);
        told = true;
      },
    };
    const lease = await admission.acquire(request, signal);
    // Withdrawn in the turn in which it was granted, when nobody could tell any more.
    if (signal.aborted) return lease.release();
    places.delete(row.id);
    ports.granted(row.id, lease);
  }

  const sweep = setInterval(() => {
    const now = clock.monotonicMs();
    for (const [jobId, place] of places) if (place.startByMs <= now) ports.expired(jobId);
  }, SWEEP_MS);
  sweep.unref();

  return {
    get size() {
      return places.size;
    },
    add(item) {
      const { row } = item;
      const abort = new AbortController();
      // Only a job that has not run yet can miss its start.
      const remainingMs =
        row.startBy === null || row.attempts > 0
          ? Number.POSITIVE_INFINITY
          : row.startBy - clock.nowMs();
      const place: Place = { abort, startByMs: clock.monotonicMs() + remainingMs };
      places.set(row.id, place);
      wait(item, place).catch((error) => {
        if (abort.signal.aborted) return;
        places.delete(row.id);
        ports.refused(row, error);
      });
    },
    remove(jobId) {
      places.get(jobId)?.abort.abort(new GatewayError("CANCELLED"));
      places.delete(jobId);
    },
    stop() {
      clearInterval(sweep);
      const reason = new GatewayError("SHUTTING_DOWN");
      for (const { abort } of places.values()) abort.abort(reason);
      places.clear();
    },
  };
}

/** Never longer than was meant when it was written, though the wall clock was set back since. */
function pauseOf({ runAfter, updatedAt }: JobRow, nowMs: number): number {
  const leftMs = (runAfter ?? 0) - nowMs;
  const meantMs = (runAfter ?? 0) - updatedAt;
  return meantMs > 0 ? Math.min(leftMs, meantMs) : leftMs;
}

/** Like a promised timer, but a far date does not overflow it. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, Math.min(ms, 2 ** 31 - 1));
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        reject(signal.reason);
      },
      { once: true },
    );
  });
}
