/** A job as it stands in the store, and how a prepared statement's answer becomes one. */
import type { JobEvent } from "../events/mod.ts";
import { tables } from "../storage/mod.ts";

export type JobRow = typeof tables.jobs.$inferSelect;
export type JobError = NonNullable<JobRow["error"]>;

export interface Idempotency {
  readonly key: string;
  /** Of the route and the body: the same key for another request is a mistake. */
  readonly fingerprint: string;
}

export interface NewJob {
  readonly id: string;
  readonly keyId: string;
  readonly capability: string;
  /** The first choice, when there are several. */
  readonly backend: string;
  /** The request named no backend: it may run on another one. */
  readonly anyBackend?: boolean;
  readonly model?: string;
  readonly priority: number;
  readonly input: Record<string, unknown>;
  readonly tag?: string;
  readonly retriedFrom?: string;
  readonly startByMs?: number;
  readonly timeoutMs?: number;
  readonly idempotency?: Idempotency;
}

/** Every column under its field's name, for `SELECT` and `RETURNING`. */
export const COLUMNS = Object.entries(tables.jobs)
  .flatMap(([field, column]) =>
    typeof column === "object" && "name" in column ? [`${column.name} AS "${field}"`] : [],
  )
  .join(", ");

/**
 * The first event of every job. It is not in the log: the row says all of it, for half the writes.
 */
export function createdEvent(row: JobRow): JobEvent {
  const { id, capability, createdAt } = row;
  // An event does not change any more, wherever the job has run since.
  const data = { capability, backend: row.firstChoice ?? row.backend };
  return { jobId: id, seq: 1, type: "job.created", data, atMs: createdAt };
}

/** The row as `insert` leaves it, without reading it back. */
export function newRow(job: NewJob, now: number): JobRow {
  return {
    id: job.id,
    keyId: job.keyId,
    capability: job.capability,
    backend: job.backend,
    firstChoice: job.anyBackend ? job.backend : null,
    model: job.model ?? null,
    device: null,
    status: "pending",
    phase: "queued",
    priority: job.priority,
    epoch: 0,
    attempts: 0,
    crashes: 0,
    seq: 1,
    input: job.input,
    output: null,
    error: null,
    progress: null,
    tag: job.tag ?? null,
    retriedFrom: job.retriedFrom ?? null,
    startBy: job.startByMs ?? null,
    runAfter: null,
    timeoutMs: job.timeoutMs ?? null,
    createdAt: now,
    startedAt: null,
    finishedAt: null,
    updatedAt: now,
  };
}

const JSON_FIELDS = ["input", "output", "error", "progress"];

/** Prepared statements return the columns under the fields' names; only JSON is left to read. */
export function jobOf(found: Record<string, unknown>): JobRow {
  const row: Record<string, unknown> = { ...found };
  for (const field of JSON_FIELDS) {
    const value = row[field];
    if (typeof value === "string") row[field] = JSON.parse(value);
  }
  return row as JobRow;
}
