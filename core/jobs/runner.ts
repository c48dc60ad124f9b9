/**
 * Executes granted jobs. A job's end is written as soon as it is known; its lease ends only when
 * `run` has settled, because a Gradio function, a ComfyUI node or a model load goes on after it was
 * asked to stop. See DESIGN.md for the table of endings.
 */
import type { Clock } from "../clock.ts";
import { GatewayError } from "../errors.ts";
import { type Log, messageOf } from "../log.ts";
import { type Attempt, createAttempt } from "./attempt.ts";
import type { Change } from "./changes.ts";
import { createOrphans, within } from "./orphans.ts";
import { errorOf, failureOf, isJson, outputOf } from "./outcome.ts";
import { persist } from "./persist.ts";
import type {
  ArtifactsPort,
  BackendPort,
  BackendsPort,
  FilesPort,
  LeaseEnd,
  LeasePort,
} from "./ports.ts";
import type { Previews } from "./previews.ts";
import { withoutInput } from "./private-text.ts";
import { type Failure, judge } from "./retry.ts";
import type { JobRow } from "./row.ts";
import type { JobStore } from "./store.ts";

export interface RunnerPorts {
  readonly store: JobStore;
  readonly artifacts: ArtifactsPort;
  readonly files?: FilesPort;
  readonly previews: Previews;
  readonly backends: BackendsPort;
  readonly clock: Clock;
  readonly log: Log;
  /** 0..1, for the jitter of retries. */
  readonly random: () => number;
  readonly cancelGraceMs: number;
  /** Whether the log may show what people asked for. */
  readonly logPrompts: boolean;
  readonly publish: (change: Change) => void;
  /** The job is pending again. */
  readonly requeued: (row: JobRow) => void;
}

export interface Runner {
  /** Claims the job and runs it; owns the lease. */
  start(jobId: string, lease: LeasePort): void;
  /** The job was cancelled: its work is told to stop. */
  cancel(jobId: string): void;
  /** What holds a lease for the job now, also after the job's end. */
  holding(jobId: string): Holding | undefined;
  readonly running: number;
  /** Settles when nothing runs any more, or after `graceMs`; what still runs keeps its row. */
  drain(graceMs: number): Promise<void>;
}

/** An attempt that holds a lease. */
export interface Holding {
  readonly backend: string;
  /** Undefined when it needs none. */
  readonly device?: string;
  /** Wall clock, milliseconds. */
  readonly startedAtMs: number;
  /**
   * stopping: it was told to stop. stopping_process: it did not, so its server is being ended.
   * orphan: it did not, and its server has to tell when it is idle.
   */
  readonly state: "running" | "stopping" | "stopping_process" | "orphan";
}

/** Why an attempt was aborted: its job was cancelled (its end is written), or it took too long. */
type Abort = { readonly kind: "cancelled" } | { readonly kind: "expired"; failure: Failure };

type Run = NonNullable<ReturnType<BackendPort["capability"]>>["run"];

interface Execution extends Holding {
  readonly jobId: string;
  state: Holding["state"];
  readonly abort: (why: Abort) => void;
  /** Settles when the end is written and `run` has settled, or the backend is known to be idle. */
  readonly over: Promise<unknown>;
}

/** How often an attempt's silence is looked at. */
const WATCH_MS = 250;

export function createRunner(ports: RunnerPorts): Runner {
  const { store, backends, clock, log } = ports;
  const written = <T>(work: () => Promise<T>): Promise<T> => persist(work, log);
  // By attempt: the one before may still be settling, on a backend that takes several jobs.
  const executions = new Set<Execution>();
  const orphans = createOrphans({
    clock,
    log,
    graceMs: ports.cancelGraceMs,
    isWanted: (backend) =>
      [...executions].some((it) => it.backend === backend && it.state === "running"),
  });

  async function begin(jobId: string, lease: LeasePort): Promise<void> {
    const claimed = await written(() => store.claim(jobId, lease));
    if (!claimed) return lease.release();
    ports.publish(claimed);
    const { backend: name, input } = claimed.row;
    if (ports.logPrompts) log.info("a job starts", { job: jobId, backend: name, input });
    // Cancelled in the same commit, when there was no execution yet that could be told.
    if (!store.isCurrent(jobId, claimed.row.epoch)) return lease.release();
    const backend = backends.get(claimed.row.backend);
    const run = backend?.capability(claimed.row.capability)?.run;
    if (!backend || !run) {
      const message = `Backend "${claimed.row.backend}" no longer offers ${claimed.row.capability}`;
      await written(() => conclude(claimed.row, { code: "SERVICE_UNAVAILABLE", message }));
      return lease.release();
    }
    execute(claimed.row, backend, run, lease);
  }

  function execute(row: JobRow, backend: BackendPort, run: Run, lease: LeasePort): void {
    const startedMonotonicMs = clock.monotonicMs();
    const controller = new AbortController();
    const attempt = createAttempt(row, controller.signal, ports);
    let aborted: (why: Abort) => void = () => {};
    const abortion = new Promise<Abort>((resolve) => {
      aborted = resolve;
    });

    const settled = outcomeOf(row, backend, run, attempt);
    const abort = (why: Abort) => {
      if (controller.signal.aborted) return;
      execution.state = "stopping";
      controller.abort(
        why.kind === "expired"
          ? new GatewayError(why.failure.code, why.failure.message)
          : new GatewayError("CANCELLED"),
      );
      aborted(why);
      void attempt.stop();
    };
    const unwatch = watch(row, backend, attempt, (failure) => abort({ kind: "expired", failure }));

    let lesson: LeaseEnd | undefined;
    const ended = Promise.race([settled, abortion]).then(async (end) => {
      unwatch();
      attempt.finish();
      if ("output" in end) {
        lesson = "completed";
        backends.worked?.(row.backend);
        const { output } = end;
        await written(() => complete(row, output));
      }
      if ("failure" in end) {
        lesson = end.failure.code === "OUT_OF_MEMORY" ? "out_of_memory" : "failed";
        await written(() => conclude(row, end.failure));
      }
      ports.previews.remove(row.id);
    });
    const idle = Promise.race([settled, abortion]).then(async (end) => {
      if (!("kind" in end)) return;
      await orphans.untilIdle({
        jobId: row.id,
        backend: row.backend,
        port: backend,
        startedAtMs: startedMonotonicMs,
        finished: settled,
        become(state) {
          execution.state = state;
        },
      });
    });
    const over = Promise.allSettled([ended, idle]).then(() => {
      executions.delete(execution);
      lease.release(lesson);
    });
    const execution: Execution = {
      jobId: row.id,
      backend: row.backend,
      device: lease.device,
      startedAtMs: row.updatedAt,
      state: "running",
      abort,
      over,
    };
    executions.add(execution);
  }

  /** Never rejects. */
  async function outcomeOf(
    row: JobRow,
    backend: BackendPort,
    run: Run,
    attempt: Attempt,
  ): Promise<{ readonly output: unknown } | { readonly failure: Failure }> {
    try {
      // A plugin may throw at once, reject later, or return a plain value.
      const result = await backend.run(() => run(attempt.job, backend.context(row.keyId)));
      const output = outputOf(result, attempt.artifacts);
      // What cannot be written must not be tried again for ever.
      if (isJson(output)) return { output };
      const message = `The plugin for ${backend.title} returned something that is not JSON`;
      return { failure: { code: "INTERNAL", message } };
    } catch (error) {
      return { failure: failureOf(error, `The plugin for ${backend.title}`) };
    }
  }

  async function complete(row: JobRow, output: unknown): Promise<void> {
    const end = { status: "completed", epoch: row.epoch, output } as const;
    const change = await store.finish(row.id, end);
    if (change) ports.publish(change);
    else log.info("a late result was dropped", { job: row.id, epoch: row.epoch });
  }

  /** Writes what a failed attempt leads to: another attempt, or the job's end. */
  async function conclude(row: JobRow, failure: Failure): Promise<void> {
    const isOwnLimit = failure.code === "ATTEMPT_TIMEOUT" && row.timeoutMs !== null;
    if (!isOwnLimit) backends.failed(row.backend, failure.code, row.id);
    const verdict = judge(failure, {
      attempts: row.attempts,
      rerun: row.timeoutMs === null,
      random: ports.random(),
    });
    log.warn("an attempt failed", {
      job: row.id,
      backend: row.backend,
      attempt: row.attempts,
      code: failure.code,
      error: ports.logPrompts ? failure.message : withoutInput(failure.message, row),
      verdict: verdict.kind,
    });
    if (verdict.kind === "retry") {
      const change = await store.requeue(row.id, row.epoch, {
        reason: failure.message,
        runAfterMs: clock.nowMs() + verdict.delayMs,
        counted: verdict.counted,
        orderly: true,
        forgetSteps: true,
      });
      if (!change) return;
      ports.publish(change);
      return ports.requeued(change.row);
    }
    const error = errorOf(failure);
    const change = await store.finish(row.id, { status: "failed", epoch: row.epoch, error });
    if (change) ports.publish(change);
  }

  /** Watches for an attempt that takes too long or falls silent. */
  function watch(
    row: JobRow,
    backend: BackendPort,
    attempt: { readonly lastActiveMs: number },
    expire: (failure: Failure) => void,
  ): () => void {
    const startedMs = clock.monotonicMs();
    const limitMs = row.timeoutMs ?? backend.attemptTimeoutMs;
    const timer = setInterval(() => {
      const now = clock.monotonicMs();
      if (now - startedMs >= limitMs) {
        const message = `${backend.title} did not finish within ${limitMs} ms`;
        expire({ code: "ATTEMPT_TIMEOUT", message });
      } else if (now - attempt.lastActiveMs >= backend.stallTimeoutMs) {
        const message = `${backend.title} made no progress for ${backend.stallTimeoutMs} ms`;
        expire({ code: "STALLED", message });
      }
    }, WATCH_MS);
    timer.unref();
    return () => clearInterval(timer);
  }

  return {
    get running() {
      return executions.size;
    },
    start(jobId, lease) {
      begin(jobId, lease).catch((error) => {
        log.error("a job could not be started", { job: jobId, error: messageOf(error) });
        lease.release();
      });
    },
    cancel(jobId) {
      for (const execution of executions) {
        if (execution.jobId === jobId) execution.abort({ kind: "cancelled" });
      }
    },
    holding(jobId) {
      let last: Holding | undefined;
      // The newest attempt: one before it may still be settling.
      for (const execution of executions) if (execution.jobId === jobId) last = execution;
      return last;
    },
    async drain(graceMs) {
      await within(Promise.all([...executions].map(({ over }) => over)), graceMs);
    },
  };
}
