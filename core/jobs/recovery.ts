/** What the last process left: taken up before the gateway listens. */
import type { Clock } from "../clock.ts";
import { type Log, messageOf } from "../log.ts";
import type { Change } from "./changes.ts";
import { persist } from "./persist.ts";
import type { JobRow } from "./row.ts";
import type { JobStore } from "./store.ts";

export interface RecoveryPorts {
  readonly store: JobStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly publish: (change: Change) => void;
  /** Told of every unfinished job, before anything happens to it. */
  readonly found: (row: JobRow) => void;
  readonly enqueue: (row: JobRow, resume?: boolean) => void;
  /** Whether the job's plugin goes on with what its steps hold. */
  readonly resumes: (row: JobRow) => boolean;
}

const CRASHES_BEFORE_POISON = 3;

export async function recoverJobs(ports: RecoveryPorts): Promise<void> {
  const { store, clock, log, publish, enqueue } = ports;

  /** A job that ran when the last process ended: its plugin adopts the work or starts it again. */
  async function takeUp(row: JobRow): Promise<void> {
    if (row.crashes >= CRASHES_BEFORE_POISON) {
      const message = `The gateway's process ended ${row.crashes} times while it ran this job`;
      const error = { code: "POISON_JOB", message, details: { retryable: false } };
      const change = await store.finish(row.id, { status: "failed", epoch: row.epoch, error });
      if (change) publish(change);
      return;
    }
    const change = await store.requeue(row.id, row.epoch, {
      reason: "The gateway was restarted",
      runAfterMs: clock.nowMs(),
      counted: true,
      orderly: false,
      forgetSteps: !ports.resumes(row),
    });
    if (!change) return;
    publish(change);
    enqueue(change.row, true);
  }

  /** A disk that is full at the start keeps nobody from reading, or from making room. */
  async function takeUpOrLater(row: JobRow): Promise<void> {
    await takeUp(row).catch((error) => {
      log.error("a job could not be taken up yet", { job: row.id, error: messageOf(error) });
      void persist(() => takeUp(row), log);
    });
  }

  /** Its model was on its way, to a process that is gone. */
  async function backToQueued(row: JobRow): Promise<JobRow> {
    try {
      const change = await store.wait(row.id, "queued");
      if (change) publish(change);
      return change?.row ?? row;
    } catch (error) {
      log.warn("a phase was not stored", { job: row.id, error: messageOf(error) });
      return row;
    }
  }

  const rows = store.unfinished();
  for (const row of rows) ports.found(row);
  const running = rows.filter((row) => row.status === "running");
  // First, so that their backends are not given to others in between.
  await Promise.all(running.map(takeUpOrLater));
  const pending = rows.filter((row) => row.status === "pending");
  const loading = pending.filter((row) => row.phase === "loading");
  const corrected = new Map(
    (await Promise.all(loading.map(backToQueued))).map((row) => [row.id, row]),
  );
  for (const row of pending) enqueue(corrected.get(row.id) ?? row);
  if (rows.length > 0) {
    log.info("took up unfinished jobs", { unfinished: rows.length, running: running.length });
  }
}
