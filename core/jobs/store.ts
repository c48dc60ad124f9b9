/**
 * Jobs on disk. Every change is one compare-and-set statement plus its event, in one commit: a
 * change that names an old epoch or meets a finished job changes nothing and returns undefined.
 */
import { and, desc, eq, gte, inArray, lt, type SQL, sql } from "drizzle-orm";
import type { Clock } from "../clock.ts";
import type { JobEvent, JobEventType } from "../events/mod.ts";
import { type Database, tables } from "../storage/mod.ts";
import type { Change, Ending, Entry, Insertion, JobFilter, Replay, Requeue } from "./changes.ts";
import {
  COLUMNS,
  createdEvent,
  type Idempotency,
  type JobRow,
  jobOf,
  type NewJob,
  newRow,
} from "./row.ts";
import { isTerminal } from "./state.ts";

export interface JobStore {
  /** `attach` writes in the same commit, and only when the job is new. */
  insert(job: NewJob, attach?: () => void): Promise<Insertion>;
  replay(keyId: string, idempotency: Idempotency): Replay | undefined;
  /** Where it was granted; for a job that named no backend that may be another one. */
  claim(id: string, at: Granted): Promise<Change | undefined>;
  /** What a pending job waits for; survives the process, not a power loss. */
  wait(id: string, phase: "queued" | "loading"): Promise<Change | undefined>;
  /** `epoch` undefined: whatever the attempt, as a pending job is finished. */
  finish(id: string, end: Ending): Promise<Change | undefined>;
  cancel(id: string, reason: string): Promise<Change | undefined>;
  requeue(id: string, epoch: number, requeue: Requeue): Promise<Change | undefined>;
  /** An event without a change of status; survives the process, not a power loss. */
  append(id: string, epoch: number, entry: Entry): Promise<Change | undefined>;
  /** Persists a step's result; false when the attempt is stale. */
  saveStep(id: string, epoch: number, name: string, value: unknown): Promise<boolean>;
  step(id: string, name: string): { readonly value: unknown } | undefined;
  /** Whether an earlier attempt left something that the next one takes up. */
  hasSteps(id: string): boolean;
  /** Whether this attempt still runs; inside a transaction, with what the same commit changed. */
  isCurrent(id: string, epoch: number): boolean;
  get(id: string): JobRow | undefined;
  list(filter: JobFilter): readonly JobRow[];
  /** At most `limit` logged events, and before them the first one, which the job's row implies. */
  events(id: string, after: number, limit: number): readonly JobEvent[];
  /** The gateway stops in order: the attempts that it leaves running are not crashes. */
  forgiveRunning(): Promise<void>;
  /** Pending and running jobs, oldest first. */
  unfinished(): readonly JobRow[];
  /** Ids of jobs that ended before this time. */
  finishedBefore(timeMs: number, limit: number): readonly string[];
  remove(ids: readonly string[]): Promise<void>;
  forgetIdempotencyBefore(timeMs: number): Promise<void>;
}

interface Granted {
  readonly backend: string;
  readonly device?: string;
}

type Values = Record<string, string | number | null>;

/** Spelled out, not bound: SQLite takes the partial index `jobs_active` only for what it can read. */
const ACTIVE = "status IN ('pending', 'running')";
/** Events deleted at once: those of many long jobs in one statement would hold up everybody. */
const TRIM_EVENTS = 2_000;
const STAMP = "seq = seq + 1, updated_at = MAX(updated_at, :now)";

export function createJobStore(database: Database, clock: Clock): JobStore {
  const { sqlite, queries, write } = database;
  const prepare = (sql: string) => sqlite.prepare(sql);

  const insertJob = prepare(
    `INSERT INTO jobs (id, key_id, capability, backend, first_choice, model, status, phase, priority,
       seq, input, tag, retried_from, start_by, timeout_ms, created_at, updated_at)
     VALUES (:id, :keyId, :capability, :backend, :firstChoice, :model, 'pending', 'queued', :priority,
       1, :input, :tag, :retriedFrom, :startBy, :timeoutMs, :now, :now)`,
  );
  const insertEvent = prepare(
    "INSERT INTO job_events (job_id, seq, type, data, created_at) VALUES (?, ?, ?, ?, ?)",
  );
  const selectJob = prepare(`SELECT ${COLUMNS} FROM jobs WHERE id = ?`);
  const selectUnfinished = prepare(`SELECT ${COLUMNS} FROM jobs WHERE ${ACTIVE}`);
  const forgiveJobs = prepare("UPDATE jobs SET crashes = 0 WHERE status = 'running'");
  const trimEvents = prepare(
    `DELETE FROM job_events WHERE (job_id, seq) IN (SELECT job_id, seq FROM job_events
       WHERE job_id IN (SELECT value FROM json_each(?)) LIMIT ?)`,
  );
  const removeJobs = prepare("DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?))");
  const selectCurrent = prepare(
    "SELECT 1 FROM jobs WHERE id = ? AND epoch = ? AND status = 'running'",
  );
  const claimJob = prepare(
    `UPDATE jobs SET status = 'running', phase = 'generating', epoch = epoch + 1,
       attempts = attempts + 1, crashes = crashes + 1, backend = :backend, device = :device,
       progress = NULL, run_after = NULL,
       started_at = COALESCE(started_at, MAX(updated_at, :now)), ${STAMP}
     WHERE id = :id AND status = 'pending' RETURNING ${COLUMNS}`,
  );
  const completeJob = prepare(
    `UPDATE jobs SET status = 'completed', phase = NULL, output = :output,
       finished_at = MAX(updated_at, :now), ${STAMP}
     WHERE id = :id AND status = 'running' AND epoch = :epoch RETURNING ${COLUMNS}`,
  );
  const failJob = prepare(
    `UPDATE jobs SET status = 'failed', phase = NULL, error = :error,
       finished_at = MAX(updated_at, :now), ${STAMP}
     WHERE id = :id AND ${ACTIVE}
       AND (:epoch IS NULL AND status = 'pending' OR epoch = :epoch) RETURNING ${COLUMNS}`,
  );
  const cancelJob = prepare(
    `UPDATE jobs SET status = 'cancelled', phase = NULL, epoch = epoch + 1, error = :error,
       finished_at = MAX(updated_at, :now), ${STAMP}
     WHERE id = :id AND ${ACTIVE} RETURNING ${COLUMNS}`,
  );
  const requeueJob = prepare(
    `UPDATE jobs SET status = 'pending', phase = 'queued', device = NULL, run_after = :runAfter,
       attempts = attempts - :uncounted, crashes = crashes * :disorderly, ${STAMP}
     WHERE id = :id AND status = 'running' AND epoch = :epoch RETURNING ${COLUMNS}`,
  );
  const touchJob = prepare(
    `UPDATE jobs SET phase = COALESCE(:phase, phase), progress = COALESCE(:progress, progress),
       ${STAMP}
     WHERE id = :id AND status = 'running' AND epoch = :epoch RETURNING ${COLUMNS}`,
  );
  const waitJob = prepare(
    `UPDATE jobs SET phase = :phase, ${STAMP}
     WHERE id = :id AND status = 'pending' AND phase <> :phase RETURNING ${COLUMNS}`,
  );
  const selectAnyStep = prepare("SELECT 1 FROM job_steps WHERE job_id = ? LIMIT 1");
  const selectStep = prepare("SELECT value FROM job_steps WHERE job_id = ? AND name = ?");
  const insertStep = prepare(
    `INSERT OR REPLACE INTO job_steps (job_id, name, value)
     SELECT :id, :name, :value FROM jobs WHERE id = :id AND status = 'running' AND epoch = :epoch`,
  );
  const deleteSteps = prepare("DELETE FROM job_steps WHERE job_id = ?");
  const selectEvents = prepare(
    `SELECT seq, type, data, created_at AS createdAt FROM job_events
     WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?`,
  );
  const selectIdempotency = prepare(
    `SELECT fingerprint, resource_id AS resourceId FROM idempotency
     WHERE key_id = ? AND idempotency_key = ?`,
  );
  const insertIdempotency = prepare(
    `INSERT OR REPLACE INTO idempotency
       (key_id, idempotency_key, fingerprint, resource_id, created_at) VALUES (?, ?, ?, ?, ?)`,
  );

  function record(row: JobRow, type: JobEventType, data: Record<string, unknown>): Change {
    insertEvent.run(row.id, row.seq, type, JSON.stringify(data), row.updatedAt);
    return { row, event: { jobId: row.id, seq: row.seq, type, data, atMs: row.updatedAt } };
  }

  /** Runs a compare-and-set statement and records its event in the same commit. */
  function change(
    statement: ReturnType<typeof prepare>,
    values: Values,
    event: (row: JobRow) => { type: JobEventType; data: Record<string, unknown> },
    options: { durable?: boolean; essential?: boolean; also?: (row: JobRow) => void } = {},
  ): Promise<Change | undefined> {
    return write(() => {
      const found = statement.get({ ...values, now: clock.nowMs() });
      if (!found) return undefined;
      const row = jobOf(found);
      options.also?.(row);
      const { type, data } = event(row);
      return record(row, type, data);
    }, options);
  }

  function replay(keyId: string, { key, fingerprint }: Idempotency): Replay | undefined {
    const known = selectIdempotency.get(keyId, key);
    if (!known) return undefined;
    if (known.fingerprint !== fingerprint) return { kind: "mismatch" };
    const first = selectJob.get(String(known.resourceId));
    return first && { kind: "replayed", row: jobOf(first) };
  }

  return {
    replay,
    insert: (job, attach) =>
      write((): Insertion => {
        const now = clock.nowMs();
        if (job.idempotency) {
          const { key, fingerprint } = job.idempotency;
          const earlier = replay(job.keyId, job.idempotency);
          if (earlier) return earlier;
          // Also when the first job was removed since: the next repetition must find this one.
          insertIdempotency.run(job.keyId, key, fingerprint, job.id, now);
        }
        const row = newRow(job, now);
        insertJob.run({
          id: row.id,
          keyId: row.keyId,
          capability: row.capability,
          backend: row.backend,
          firstChoice: row.firstChoice,
          model: row.model,
          priority: row.priority,
          input: JSON.stringify(row.input),
          tag: row.tag,
          retriedFrom: row.retriedFrom,
          startBy: row.startBy,
          timeoutMs: row.timeoutMs,
          now,
        });
        attach?.();
        return { kind: "inserted", change: { row, event: createdEvent(row) } };
      }),
    claim: (id, { backend, device }) =>
      change(
        claimJob,
        { id, backend, device: device ?? null },
        (row) => ({
          type: "job.started",
          data: { backend: row.backend, device: row.device, attempt: row.attempts },
        }),
        // A power loss takes the job back to pending, from where it starts again.
        { durable: false, essential: true },
      ),
    wait: (id, phase) =>
      change(waitJob, { id, phase }, () => ({ type: "job.phase", data: { phase } }), {
        durable: false,
      }),
    finish(id, end) {
      const options = { essential: true };
      if (end.status === "completed") {
        const values = { id, epoch: end.epoch, output: JSON.stringify(end.output ?? null) };
        return change(
          completeJob,
          values,
          () => ({ type: "job.completed", data: { output: end.output ?? null } }),
          options,
        );
      }
      const values = { id, epoch: end.epoch ?? null, error: JSON.stringify(end.error) };
      return change(
        failJob,
        values,
        () => ({ type: "job.failed", data: { error: end.error } }),
        options,
      );
    },
    cancel: (id, reason) =>
      change(
        cancelJob,
        { id, error: JSON.stringify({ code: "CANCELLED", message: reason }) },
        () => ({ type: "job.cancelled", data: { reason } }),
        { essential: true },
      ),
    requeue: (id, epoch, { reason, runAfterMs, counted, orderly, forgetSteps }) =>
      change(
        requeueJob,
        { id, epoch, runAfter: runAfterMs, uncounted: +!counted, disorderly: +!orderly },
        () => ({
          type: "job.requeued",
          data: { reason, run_after: new Date(runAfterMs).toISOString() },
        }),
        { essential: true, also: (row) => forgetSteps && deleteSteps.run(row.id) },
      ),
    append: (id, epoch, { type, data, phase, progress }) =>
      change(
        touchJob,
        {
          id,
          epoch,
          phase: phase ?? null,
          progress: progress ? JSON.stringify(progress) : null,
        },
        () => ({ type, data }),
        { durable: false },
      ),
    saveStep: (id, epoch, name, value) =>
      write(() => {
        const json = JSON.stringify(value ?? null);
        return Number(insertStep.run({ id, epoch, name, value: json }).changes) > 0;
      }),
    step(id, name) {
      const found = selectStep.get(id, name);
      return found && { value: JSON.parse(String(found.value)) };
    },
    hasSteps: (id) => selectAnyStep.get(id) !== undefined,
    isCurrent: (id, epoch) => selectCurrent.get(id, epoch) !== undefined,
    get(id) {
      const found = selectJob.get(id);
      return found && jobOf(found);
    },
    list: (filter) =>
      queries
        .select()
        .from(tables.jobs)
        .where(and(...conditions(filter)))
        .orderBy(desc(tables.jobs.id))
        .limit(filter.limit)
        .all(),
    events(id, after, limit) {
      const logged = selectEvents.all(id, after, limit).map((found) => ({
        jobId: id,
        seq: Number(found.seq),
        type: String(found.type) as JobEventType,
        data: JSON.parse(String(found.data)) as Record<string, unknown>,
        atMs: Number(found.createdAt),
      }));
      const created = after < 1 ? selectJob.get(id) : undefined;
      return created ? [createdEvent(jobOf(created)), ...logged] : logged;
    },
    async forgiveRunning() {
      await write(() => void forgiveJobs.run(), { essential: true });
    },
    unfinished: () =>
      selectUnfinished
        .all()
        .map(jobOf)
        .sort((a, b) => (a.id < b.id ? -1 : 1)),
    finishedBefore: (timeMs, limit) =>
      queries
        .select({ id: tables.jobs.id })
        .from(tables.jobs)
        .where(lt(tables.jobs.finishedAt, timeMs))
        .limit(limit)
        .all()
        .map(({ id }) => id),
    async remove(ids) {
      const list = JSON.stringify(ids);
      const trim = () => Number(trimEvents.run(list, TRIM_EVENTS).changes);
      while ((await write(trim, { essential: true, durable: false })) === TRIM_EVENTS);
      await write(() => void removeJobs.run(list), { essential: true });
    },
    async forgetIdempotencyBefore(timeMs) {
      const old = lt(tables.idempotency.createdAt, timeMs);
      await write(() => void queries.delete(tables.idempotency).where(old).run());
    },
  };
}

function conditions(filter: JobFilter): SQL[] {
  const { jobs } = tables;
  return [
    filter.keyId !== undefined && eq(jobs.keyId, filter.keyId),
    filter.status && inArray(jobs.status, [...filter.status]),
    filter.status && !filter.status.some(isTerminal) && sql.raw(ACTIVE),
    filter.capability !== undefined && eq(jobs.capability, filter.capability),
    filter.backend !== undefined && eq(jobs.backend, filter.backend),
    filter.tag !== undefined && eq(jobs.tag, filter.tag),
    filter.sinceMs !== undefined && gte(jobs.createdAt, filter.sinceMs),
    filter.after !== undefined && lt(jobs.id, filter.after),
  ].filter((condition) => typeof condition === "object");
}
