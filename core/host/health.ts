/** Asks every backend how it is, at an interval, and tells the bus when that changes. */
import type { Clock } from "../clock.ts";
import type { BackendStatus, Bus } from "../events/mod.ts";
import type { Log } from "../log.ts";
import type { Health } from "../sdk/plugin.ts";
import type { Backend, BackendState } from "./backend.ts";
import type { Pause } from "./breaker.ts";

/**
 * A backend that does not work is looked at this often, so that it is found soon when it comes up.
 */
const UNWELL_INTERVAL_MS = 2_000;

/** Times that lie closer together are the same. */
const SAME_MS = 50;

export interface HealthLoop {
  /** First look at every backend; settles when all have been seen. */
  start(): Promise<void>;
  /** Looks at one backend now. */
  check(backend: Backend): Promise<void>;
  /** Its jobs have begun to be held back: known at once, before anybody looks. */
  held(backend: Backend): void;
  stop(): void;
}

export interface HealthLoopOptions {
  readonly backends: readonly Backend[];
  readonly intervalMs: number;
  /** For backends whose process the gateway runs: whether it is down on purpose, or coming up. */
  readonly process: (backend: string) => "stopped" | "starting" | "up" | undefined;
  /** Why no job is sent to a backend that seems well, and until when. */
  readonly pause?: (backend: string) => Pause | undefined;
  readonly clock: Clock;
  readonly bus: Bus;
  readonly log: Log;
}

export function createHealthLoop(options: HealthLoopOptions): HealthLoop {
  const { backends, intervalMs, clock, bus, log } = options;
  const timers = new Map<string, ReturnType<typeof setTimeout>>();
  const underWay = new Map<string, Promise<void>>();
  let stopped = false;

  function show(backend: Backend, seen: BackendState): void {
    const after = withPause(backend, seen);
    const before = backend.state;
    backend.state = after;
    if (before.status !== after.status || before.reason !== after.reason) {
      const { status, reason } = after;
      bus.emit("backend.changed", { backend: backend.name, status, reason });
      const quiet = accepts(before) === accepts(after);
      log[quiet ? "debug" : "info"](`backend ${status}`, { backend: backend.name, reason });
    }
  }

  function withPause({ name, state: before }: Backend, state: BackendState): BackendState {
    const pause = usable(state.status) ? options.pause?.(name) : undefined;
    if (!pause) return { ...state, retryAtMs: undefined };
    const untilMs = clock.nowMs() + pause.untilMs - clock.monotonicMs();
    // Told once: the two clocks are not read in the same instant.
    const told = before.retryAtMs ?? untilMs;
    const retryAtMs = Math.abs(told - untilMs) < SAME_MS ? told : Math.ceil(untilMs);
    const reason = `${pause.reason}; it is tried again at ${new Date(retryAtMs).toISOString()}`;
    return { ...state, status: "degraded", reason, retryAtMs };
  }

  async function stateNow(backend: Backend): Promise<BackendState> {
    if (options.process(backend.name) === "stopped") {
      return { status: "stopped", reason: ASLEEP, checkedAtMs: clock.nowMs() };
    }
    const state = stateOf(await backend.health(), clock.nowMs());
    if (state.status !== "down") return state;
    // A server that is being started, or was stopped meanwhile, is not one that fails.
    const process = options.process(backend.name);
    if (process === "starting") return { ...state, status: "starting" };
    return process === "stopped" ? { ...state, status: "stopped", reason: ASLEEP } : state;
  }

  function pauseAfter(state: BackendState): number {
    if (accepts(state)) return intervalMs;
    const leftMs = (state.retryAtMs ?? Number.POSITIVE_INFINITY) - clock.nowMs();
    return Math.min(intervalMs, UNWELL_INTERVAL_MS, Math.max(leftMs, SAME_MS));
  }

  /** One look at a time per backend; who asks during a look gets that one. */
  function check(backend: Backend): Promise<void> {
    const running = underWay.get(backend.name);
    if (running) return running;
    clearTimeout(timers.get(backend.name));
    const looking = look(backend).finally(() => {
      underWay.delete(backend.name);
      if (stopped || !backend.plugin) return;
      const pauseMs = pauseAfter(backend.state);
      const timer = setTimeout(check, pauseMs, backend);
      timer.unref();
      timers.set(backend.name, timer);
    });
    underWay.set(backend.name, looking);
    return looking;
  }

  async function look(backend: Backend): Promise<void> {
    show(backend, await stateNow(backend));
  }

  return {
    check,
    held: (backend) => show(backend, backend.state),
    start: async () => void (await Promise.all(backends.map(check))),
    stop() {
      stopped = true;
      for (const timer of timers.values()) clearTimeout(timer);
    },
  };
}

const ASLEEP = "its process is stopped; the next job starts it";

/** Whether work may be sent there. */
export function usable(status: BackendStatus): boolean {
  return status === "ready" || status === "busy" || status === "degraded";
}

/** Whether a job may be sent there now: it works, and those before did not fail one by one. */
export function accepts({ status, retryAtMs }: BackendState): boolean {
  return usable(status) && retryAtMs === undefined;
}

function stateOf(health: Health, checkedAtMs: number): BackendState {
  if (health.status !== "ready") {
    return { status: health.status, reason: health.reason, checkedAtMs };
  }
  const { version, offers, busy } = health;
  return { status: busy ? "busy" : "ready", version, offers, checkedAtMs };
}
