/**
 * The life of one backend's process. All that changes it goes through one lane, so that there is
 * never more than one process of it, whoever asks for what at the same time.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../clock.ts";
import { type Log, messageOf } from "../log.ts";
import { createCrashes } from "./crashes.ts";
import type { Driver } from "./driver.ts";
import { type HealthAnswer, type ReadinessOptions, refuseTaken, untilReady } from "./readiness.ts";
import type { ProcessSettings } from "./settings.ts";
import {
  type Exit,
  exitInWords,
  ProcessError,
  type ProcessState,
  type StartCause,
  type Supervised,
} from "./state.ts";
import { until } from "./waiting.ts";

/** Milliseconds; only tests have reason to change them. */
export interface Timing {
  /** Between looks at a process that runs. */
  readonly watchMs: number;
  /** Between health checks of one that starts. */
  readonly readyPollMs: number;
  readonly firstBackoffMs: number;
  readonly maxBackoffMs: number;
}

export interface LifecycleOptions {
  readonly backend: string;
  readonly settings: ProcessSettings;
  readonly driver: Driver;
  readonly timing: Timing;
  readonly clock: Clock;
  readonly log: Log;
  readonly port: number | undefined;
  readonly random: () => number;
  health(signal: AbortSignal): Promise<HealthAnswer>;
  changed(state: ProcessState): void;
}

export interface Lifecycle extends Supervised {
  /** Takes up what an earlier gateway left; settles before it is known to be ready. */
  adopt(): Promise<void>;
  /** Starts the idle clock, or stops it. */
  busy(busy: boolean): void;
  /** Refuses further starts; ends it, unless it stays or is not ours. */
  close(): Promise<void>;
}

const LINES = 20;

export function createLifecycle(options: LifecycleOptions): Lifecycle {
  const { backend, settings, driver, timing, clock, log, changed } = options;
  const crashes = createCrashes({ ...settings, ...timing }, options.random);
  let state: ProcessState = { kind: "stopped" };
  let lane: Promise<unknown> = Promise.resolve();
  let starting: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;
  let stopping: Promise<void> | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let watch: ReturnType<typeof setInterval> | undefined;
  let idle: ReturnType<typeof setTimeout> | undefined;
  let isBusy = false;
  let looking = false;
  let closed = false;
  let exitSeen = Promise.withResolvers<void>();

  const readiness: ReadinessOptions = {
    backend,
    driver,
    clock,
    timeoutMs: settings.readyTimeoutMs,
    pollMs: timing.readyPollMs,
    port: options.port,
    health: options.health,
    exitSeen: () => exitSeen.promise,
  };

  driver.onExit((exit) => {
    exitSeen.resolve();
    exitSeen = Promise.withResolvers<void>();
    endedByItself(exit);
  });

  function inLane<T>(work: () => Promise<T>): Promise<T> {
    const turn = lane.then(work);
    lane = turn.catch(() => undefined);
    return turn;
  }

  function enter(next: ProcessState): void {
    state = next;
    clearInterval(watch);
    clearTimeout(idle);
    if (next.kind !== "failed") clearTimeout(retry);
    if (next.kind === "ready") {
      watch = setInterval(watchNow, timing.watchMs);
      watch.unref();
      restartIdleClock();
    }
    changed(next);
  }

  function restartIdleClock(): void {
    clearTimeout(idle);
    const { idleStopMs, start } = settings;
    if (idleStopMs === undefined || start === "always" || isBusy || state.kind !== "ready") return;
    idle = setTimeout(() => {
      if (isBusy || state.kind !== "ready" || starting) return;
      log.info("an idle backend's process is stopped", { backend, idle_ms: idleStopMs });
      supervised.stop().catch((error) => {
        log.warn("an idle process was not stopped", { backend, error: messageOf(error) });
      });
    }, idleStopMs);
    idle.unref();
  }

  /** One look at a time, however long systemctl takes. */
  function watchNow(): void {
    if (looking) return;
    looking = true;
    void inLane(lookAfter).finally(() => {
      looking = false;
    });
  }

  /** Finds the end of what is no child of ours: adopted ones, units, containers. */
  async function lookAfter(): Promise<void> {
    if (state.kind !== "ready") return;
    try {
      const sight = await driver.look();
      if (sight.kind === "gone") endedByItself(sight.exit);
      else await driver.tend();
    } catch (error) {
      // systemctl or docker does not answer: that says nothing about the process.
      log.warn("a process could not be looked at", { backend, error: messageOf(error) });
    }
  }

  /** At once, and before anything waits: who starts next must see it. */
  function endedByItself(exit: Exit): void {
    if (state.kind !== "ready") return;
    const error = new ProcessError("exited", `${backend} ${exitInWords(exit)}. Read its log.`, {
      exit,
    });
    const failed = fail(error);
    void inLane(async () => {
      // A start that stood before this in the lane has cleared up, and what runs now is its own.
      if (state !== failed) return;
      await endQuietly();
      const lastLines = await driver.lastLines(LINES).catch(() => []);
      log.warn("the last lines of a process that ended", { backend, last_lines: lastLines });
      if (state === failed) enter({ ...failed, lastLines });
    });
  }

  /** Says when the next attempt is, and begins it where the process is to be always up. */
  function fail(error: ProcessError): ProcessState & { kind: "failed" } {
    const waitMs = crashes.add(clock.monotonicMs());
    const loops = waitMs === undefined;
    log.warn("a backend's process failed", {
      ...{ backend, error: error.message, last_lines: error.lastLines },
      ...(loops ? { crash_loop: true } : { retry_ms: Math.round(waitMs) }),
    });
    const failed = {
      kind: "failed",
      reason: loops
        ? `${error.message} It failed too often: mend it, then start it.`
        : error.message,
      lastLines: error.lastLines,
      ...(loops ? {} : { retryAtMs: clock.nowMs() + waitMs }),
    } as const;
    enter(failed);
    if (!loops && settings.start === "always" && !closed) {
      clearTimeout(retry);
      retry = setTimeout(begin, waitMs);
      retry.unref();
    }
    return failed;
  }

  /** What is left of a failed process holds memory and its port. */
  async function endQuietly(): Promise<void> {
    await driver.end().catch((error) => {
      log.error("a failed process did not end", { backend, error: messageOf(error) });
    });
  }

  /** A start under way, or a new one; nobody needs to wait for it. */
  function begin(): Promise<void> {
    if (starting && !starting.abort.signal.aborted) return starting.done;
    const abort = new AbortController();
    const done = inLane(() => bringUp(abort.signal));
    const mine = { abort, done };
    starting = mine;
    done
      .catch(() => undefined)
      .finally(() => {
        if (starting === mine) starting = undefined;
      });
    return done;
  }

  async function bringUp(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (closed) throw stoppedError(backend, true);
    const before = state;
    try {
      const sight = await driver.look();
      const runs = sight.kind === "running";
      if (runs && before.kind === "ready") return restartIdleClock();
      enter({ kind: "starting", sinceMs: clock.nowMs() });
      if (!runs) {
        // What a dead leader left would hold memory and port beside the new one.
        await driver.end();
        await refuseTaken(readiness, signal);
        await driver.launch(signal);
      }
      await untilReady(readiness, signal);
      const now = await driver.look();
      const pid = now.kind === "running" ? now.pid : undefined;
      driver.markReady();
      enter({ kind: "ready", ...(pid === undefined ? {} : { pid }), sinceMs: clock.nowMs() });
      // It may have ended between the look and the state, when nobody listened.
      await lookAfter();
      log.info("a backend's process is ready", { backend, ...(pid === undefined ? {} : { pid }) });
    } catch (error) {
      // The stop that aborted it comes next in the lane and ends what was started.
      if (signal.aborted) throw signal.reason;
      const failure = asProcessError(backend, error);
      await endQuietly();
      if (signal.aborted) throw signal.reason;
      fail(failure);
      throw failure;
    }
  }

  async function takeDown(): Promise<void> {
    if (state.kind !== "stopped") enter({ kind: "stopping" });
    try {
      await driver.end();
    } catch (error) {
      const failure = asProcessError(backend, error);
      enter({ kind: "failed", reason: failure.message, lastLines: failure.lastLines });
      throw failure;
    }
    if (state.kind !== "stopped") enter({ kind: "stopped" });
  }

  function stop(): Promise<void> {
    clearTimeout(retry);
    starting?.abort.abort(stoppedError(backend, closed));
    stopping ??= inLane(takeDown).finally(() => {
      stopping = undefined;
    });
    // One under way serves, since whatever would start after it has been aborted.
    return stopping;
  }

  const supervised: Lifecycle = {
    backend,
    state: () => state,
    pids: () => driver.pids(),
    lastLines: (count = LINES) => driver.lastLines(count),
    async start(signal, cause: StartCause = "operator") {
      signal.throwIfAborted();
      if (closed) throw stoppedError(backend, true);
      if (cause === "operator") crashes.forget();
      else if (!starting) await backOff(signal);
      if (closed) throw stoppedError(backend, true);
      restartIdleClock();
      await until(begin(), signal);
    },
    stop: (signal) => until(stop(), signal),
    async restart(signal) {
      signal.throwIfAborted();
      await until(stop(), signal);
      await supervised.start(signal);
    },
    adopt: () =>
      inLane(async () => {
        const found = await driver.adopt();
        if (!found) return;
        const sight = await driver.look();
        if (sight.kind === "gone") return;
        const pid = sight.pid === undefined ? {} : { pid: sight.pid };
        log.info("a running process was adopted", { backend, ...pid });
        if (found.ready) enter({ kind: "ready", ...pid, sinceMs: clock.nowMs() });
        else enter({ kind: "starting", sinceMs: clock.nowMs() });
      }).then(() => {
        // Failures are in the state and in the log.
        if (state.kind === "starting" || (settings.start === "always" && state.kind === "stopped"))
          begin().catch(() => undefined);
      }),
    busy(busy) {
      isBusy = busy;
      restartIdleClock();
    },
    async close() {
      closed = true;
      clearTimeout(idle);
      clearTimeout(retry);
      starting?.abort.abort(stoppedError(backend, true));
      await lane;
      // A unit that ran before the gateway came is not the gateway's to end.
      if (settings.stopWithGateway && driver.owned()) await stop();
      clearInterval(watch);
      clearTimeout(retry);
    },
  };
  return supervised;

  /** Demand does not hammer on a process that fails. */
  async function backOff(signal: AbortSignal): Promise<void> {
    if (state.kind !== "failed") return;
    const { retryAtMs } = state;
    if (retryAtMs === undefined) {
      const text = `${backend} is in a crash loop. Last: ${state.reason}`;
      throw new ProcessError("crash_loop", text, {
        lastLines: state.lastLines,
      });
    }
    const waitMs = Math.min(retryAtMs - clock.nowMs(), timing.maxBackoffMs);
    if (waitMs > 0) await delay(waitMs, undefined, { signal, ref: false });
  }
}

function stoppedError(backend: string, closed: boolean): ProcessError {
  const why = closed ? "the gateway is stopping" : "it was stopped meanwhile";
  return new ProcessError("stopped", `${backend} was not started: ${why}. Start it again.`);
}

function asProcessError(backend: string, error: unknown): ProcessError {
  if (error instanceof ProcessError) return error;
  const text = `${backend} could not be started: ${messageOf(error)}. See the gateway's log.`;
  return new ProcessError("not_started", text, { cause: error });
}
