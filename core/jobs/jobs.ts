/** The job bus: accept, watch, cancel, recover, drain, forget. */
import type { Clock } from "../clock.ts";
import { GatewayError } from "../errors.ts";
import type { Bus } from "../events/mod.ts";
import type { Ids } from "../ids.ts";
import { type Log, messageOf } from "../log.ts";
import type { Database } from "../storage/mod.ts";
import type { Change, JobFilter } from "./changes.ts";
import { createHub, type Hub, isLastEvent } from "./hub.ts";
import { createLoadingNotes } from "./loading.ts";
import { errorOf, failureOf } from "./outcome.ts";
import { persist } from "./persist.ts";
import type {
  AdmissionPort,
  ArtifactsPort,
  BackendsPort,
  Choices,
  FilesPort,
  Incoming,
} from "./ports.ts";
import { createPreviews, type Previews } from "./previews.ts";
import { withoutInput } from "./private-text.ts";
import { createQueue } from "./queue.ts";
import { recoverJobs } from "./recovery.ts";
import type { JobError, JobRow } from "./row.ts";
import { createRunner, type Holding } from "./runner.ts";
import { type JobWire, jobToWire } from "./schema.ts";
import { isTerminal } from "./state.ts";
import { createJobStore } from "./store.ts";

/** One accepted request for a capability, checked and with the backends that may do it. */
export interface Work {
  readonly keyId: string;
  /** Unfinished jobs that the key may have; 0 means unlimited. */
  readonly activeLimit: number;
  readonly capability: string;
  readonly choices: Choices;
  /** The request named no backend: later attempts may have other choices. */
  readonly anyBackend?: boolean;
  readonly model?: string;
  readonly input: Record<string, unknown>;
  /** Files that the input names; they become the job's own in the commit that makes it. */
  readonly files?: readonly Incoming[];
  readonly priority: number;
  readonly startByMs?: number;
  readonly timeoutMs?: number;
  readonly tag?: string;
  readonly retriedFrom?: string;
  readonly idempotency?: { readonly key: string; readonly fingerprint: string };
}

export interface Jobs {
  /** Throws what `submit` would, for reasons that have nothing to do with the work itself. */
  refuse(work: Pick<Work, "keyId" | "activeLimit">): void;
  /** Settles after the commit: an accepted job is on disk. */
  submit(work: Work): Promise<{ readonly row: JobRow; readonly replayed: boolean }>;
  /** The job of an earlier request with this Idempotency-Key; throws IDEMPOTENCY_MISMATCH. */
  replay(keyId: string, idempotency: NonNullable<Work["idempotency"]>): JobRow | undefined;
  get(id: string): JobRow | undefined;
  list(filter: JobFilter): readonly JobRow[];
  wire(row: JobRow): JobWire;
  /** Throws JOB_ALREADY_FINISHED when it lost the race. */
  cancel(id: string, reason: string): Promise<JobRow>;
  /** Removes a finished job and its artifacts. */
  purge(id: string): Promise<void>;
  /** The job as soon as it has ended, or as it is after `waitMs`. */
  ended(id: string, waitMs: number): Promise<JobRow | undefined>;
  /** What holds a lease for the job now, also after the job's end. */
  holding(id: string): Holding | undefined;
  readonly hub: Hub;
  readonly previews: Previews;
  readonly files?: FilesPort;
  counts(): { readonly pending: number; readonly running: number };
  /** Takes up what the last process left; to be called before listening. */
  recover(): Promise<void>;
  /** No new work; waits for what runs, up to the configured time. */
  drain(): Promise<void>;
  readonly draining: boolean;
}

export interface JobsOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly bus: Bus;
  readonly log: Log;
  readonly random: () => number;
  readonly admission: AdmissionPort;
  readonly artifacts: ArtifactsPort;
  /** Without it no request brings files. */
  readonly files?: FilesPort;
  readonly backends: BackendsPort;
  /**
   * The backends that may do a job that is on disk, its own first; only that one when the job is
   * `bound` to it. Throws when its plugin cannot say what the job costs.
   */
  readonly choicesOf: (row: JobRow, bound: boolean) => Choices;
  /** A key's part of the devices compared with others; 1 unless said. */
  readonly keyWeight?: (keyId: string) => number | undefined;
  readonly settings: {
    readonly maxPending: number;
    readonly cancelGraceMs: number;
    readonly logPrompts: boolean;
    readonly drainTimeoutMs: number;
    readonly retentionMs: number;
  };
}

const SWEEP_MS = 60_000;
const SWEEP_BATCH = 500;
const IDEMPOTENCY_MS = 24 * 3_600_000;
const RETRY_AFTER_MS = 5_000;

export function createJobs(options: JobsOptions): Jobs {
  const { database, clock, ids, bus, log, admission, artifacts, backends, settings } = options;
  const store = createJobStore(database, clock);
  const hub = createHub(store.events);
  const previews = createPreviews();
  /** Unfinished jobs per key, kept in step with the rows. */
  const active = new Map<string, number>();
  /** Jobs on their way to the disk; they have no place in the queue yet. */
  let arriving = 0;
  /** Ends every wait of `ended` with the job as it is. */
  const waits = new Set<() => void>();
  let draining = false;

  function count(keyId: string, by: 1 | -1): void {
    const left = (active.get(keyId) ?? 0) + by;
    if (left > 0) active.set(keyId, left);
    else active.delete(keyId);
  }

  function publish({ row, event }: Change): void {
    if (isLastEvent(event)) count(row.keyId, -1);
    bus.emit("job.event", event);
    hub.publish(event);
  }

  const runner = createRunner({
    store,
    artifacts,
    files: options.files,
    previews,
    backends,
    clock,
    log,
    random: options.random,
    cancelGraceMs: settings.cancelGraceMs,
    logPrompts: settings.logPrompts,
    publish,
    requeued: (row) => draining || enqueue(row),
  });

  const loading = createLoadingNotes({ store, publish, log });

  const queue = createQueue({
    admission,
    clock,
    keyWeight: options.keyWeight,
    granted: runner.start,
    loading: loading.add,
    refused(row, cause) {
      // The next start takes it up.
      if (draining) return;
      const failure = failureOf(cause, "The scheduler");
      const error = settings.logPrompts ? failure.message : withoutInput(failure.message, row);
      log.warn("a job gets no lease", { job: row.id, code: failure.code, error });
      failPending(row.id, errorOf(failure));
    },
    expired(jobId) {
      queue.remove(jobId);
      const message = "The job did not start before its `start_by`";
      failPending(jobId, { code: "QUEUE_TIMEOUT", message, details: { retryable: true } });
    },
  });

  function failPending(jobId: string, error: JobError): void {
    const end = { status: "failed", epoch: undefined, error } as const;
    void persist(() => store.finish(jobId, end), log).then((change) => change && publish(change));
  }

  /** Queues a job that is on disk; one that ran goes first, on the backend where it ran. */
  function enqueue(row: JobRow, resume = false): void {
    // What an earlier attempt left can only be taken up where it was left.
    const bound = resume || (row.epoch > 0 && store.hasSteps(row.id));
    const choices = (): Choices => {
      try {
        return options.choicesOf(row, bound);
      } catch (cause) {
        const message = `The plugin of ${row.backend} failed: ${messageOf(cause)}`;
        throw new GatewayError("INTERNAL", message, { cause });
      }
    };
    queue.add({ row, choices, resume });
  }

  function refuse({ keyId, activeLimit }: Pick<Work, "keyId" | "activeLimit">): void {
    if (draining) throw new GatewayError("SHUTTING_DOWN", undefined, { retryAfterMs: 10_000 });
    if (activeLimit > 0 && (active.get(keyId) ?? 0) >= activeLimit) {
      const message = `This key has ${activeLimit} unfinished jobs, which is its limit`;
      throw new GatewayError("QUOTA_EXCEEDED", message, { retryAfterMs: RETRY_AFTER_MS });
    }
    if (queue.size + arriving >= settings.maxPending) {
      const message = `${queue.size + arriving} jobs are waiting, which is the limit (jobs.max_pending)`;
      throw new GatewayError("QUEUE_FULL", message, { retryAfterMs: RETRY_AFTER_MS });
    }
  }

  async function submit(work: Work) {
    refuse(work);
    const { choices, activeLimit: _, files = [], ...job } = work;
    const [{ backend }] = choices;
    const made = { id: ids.uuid(), backend, ...job };
    const attach = () => options.files?.attach(made, files);
    // Counted before the commit, or parallel requests would pass the limit together.
    count(work.keyId, 1);
    arriving++;
    const inserted = await store.insert(made, attach).catch((error) => {
      arriving--;
      count(work.keyId, -1);
      throw error;
    });
    arriving--;
    if (inserted.kind === "inserted") {
      publish(inserted.change);
      const { row } = inserted.change;
      if (!draining) queue.add({ row, choices: () => choices, resume: false });
      return { row, replayed: false };
    }
    count(work.keyId, -1);
    if (inserted.kind === "mismatch") throw new GatewayError("IDEMPOTENCY_MISMATCH");
    return { row: inserted.row, replayed: true };
  }

  function wire(row: JobRow): JobWire {
    const waiting = row.status === "pending" ? admission.waiting(row.id) : undefined;
    return jobToWire(row, {
      waiting,
      hasPreview: row.status === "running" && previews.get(row.id) !== undefined,
    });
  }

  async function sweep(): Promise<void> {
    for (;;) {
      const old = store.finishedBefore(clock.nowMs() - settings.retentionMs, SWEEP_BATCH);
      for (const id of old) await artifacts.removeOfJob(id);
      await store.remove(old);
      if (old.length < SWEEP_BATCH) break;
    }
    await store.forgetIdempotencyBefore(clock.nowMs() - IDEMPOTENCY_MS);
  }

  async function forgive(): Promise<void> {
    await store.forgiveRunning().catch((error) => {
      log.warn("what runs now will count as a crash", { error: messageOf(error) });
    });
  }

  const sweeper = setInterval(() => {
    sweep().catch((error) => log.warn("old jobs were not removed", { error: messageOf(error) }));
  }, SWEEP_MS);
  sweeper.unref();

  return {
    refuse,
    submit,
    wire,
    holding: runner.holding,
    hub,
    previews,
    files: options.files,
    replay(keyId, idempotency) {
      const found = store.replay(keyId, idempotency);
      if (found?.kind === "mismatch") throw new GatewayError("IDEMPOTENCY_MISMATCH");
      return found?.row;
    },
    get: store.get,
    list: store.list,
    async cancel(id, reason) {
      const change = await store.cancel(id, reason);
      if (!change) {
        const row = store.get(id);
        if (!row) throw new GatewayError("NOT_FOUND", `No job ${id}`);
        const message = `The job has already ended: it is ${row.status}`;
        throw new GatewayError("JOB_ALREADY_FINISHED", message, { details: { job: wire(row) } });
      }
      publish(change);
      queue.remove(id);
      runner.cancel(id);
      return change.row;
    },
    async purge(id) {
      const row = store.get(id);
      if (row && !isTerminal(row.status)) throw new GatewayError("JOB_NOT_FINISHED");
      await artifacts.removeOfJob(id);
      await store.remove([id]);
    },
    ended: (id, waitMs) =>
      new Promise((resolve) => {
        const row = store.get(id);
        if (!row || isTerminal(row.status)) return resolve(row);
        const finish = () => {
          clearTimeout(timer);
          waits.delete(finish);
          leave();
          resolve(store.get(id));
        };
        const timer = setTimeout(finish, waitMs);
        waits.add(finish);
        const leave = hub.follow(id, row.seq, { event() {}, end: () => queueMicrotask(finish) });
      }),
    counts: () => ({ pending: queue.size, running: runner.running }),
    recover: () =>
      recoverJobs({
        store,
        clock,
        log,
        publish,
        enqueue,
        found: (row) => count(row.keyId, 1),
        resumes: (row) =>
          backends.get(row.backend)?.capability(row.capability)?.restart === "resume",
      }),
    async drain() {
      draining = true;
      clearInterval(sweeper);
      queue.stop();
      // Already now: a service manager may lose its patience and kill during the drain.
      void forgive();
      await runner.drain(settings.drainTimeoutMs);
      await forgive();
      for (const finish of [...waits]) finish();
    },
    get draining() {
      return draining;
    },
  };
}
