/**
 * What the scheduler decided, done: models are loaded and made to leave, and what came of it goes
 * back to the scheduler. A model that does not load is tried again after a pause that grows; when it
 * still does not, the jobs that wait for it are told why.
 */
import type { Clock } from "../clock.ts";
import { GatewayError } from "../errors.ts";
import type { Bus } from "../events/mod.ts";
import { type Log, messageOf } from "../log.ts";
import type { Admission } from "./admission.ts";
import type { Place, Server } from "./ledger.ts";
import type { BackendPort, ProcessPort } from "./ports.ts";
import { within } from "./reclaim/limits.ts";
import type { Reclaimer, ReclaimResult } from "./reclaim/reclaim.ts";
import type { Roster } from "./roster.ts";
import type { Effects, Scheduler } from "./scheduler.ts";

export interface ModelEffects extends Effects {
  /** Makes these leave although nobody needs the room: the operator asked. They must be idle. */
  evictNow(places: readonly Place[]): Promise<ReclaimResult>;
  /** Whether its process is stopped for an eviction, so that it takes no jobs. */
  isClosed(backend: string): boolean;
  /** Starts a server for a job that needs no device; undefined when it runs already. */
  wake(server: Server): Promise<void> | undefined;
  /** Why the last load of this place failed; undefined when it did not. */
  failureOf(place: Place): string | undefined;
  /** Settles when nothing is being loaded or made to leave. */
  close(): Promise<void>;
}

export interface ModelEffectsOptions {
  readonly scheduler: () => Scheduler;
  readonly roster: () => Roster;
  readonly admission: Admission;
  readonly reclaimer: Reclaimer;
  readonly clock: Clock;
  readonly log: Log;
  readonly bus: Bus;
  /** A model came or went: what the probe sees is held against that. */
  readonly changed: (place: Place) => void;
  /** A backend that was closed may take jobs again. */
  readonly reopened: () => void;
  /** A load ended well; only when it was the gateway that loaded. */
  readonly learnLoad: (place: Place, ms: number) => void;
}

interface Trouble {
  readonly failures: number;
  readonly reason: string;
}

/** Longest load of one model, its server's start included. */
const LOAD_LIMIT_MS = 30 * 60_000;
/** Failed loads in a row after which the waiting jobs fail. */
const FAILURES_BEFORE_GIVING_UP = 3;
const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 60_000;
/** How long a model that did not leave is left alone. */
const STUCK_MS = 30_000;

export function createModelEffects(options: ModelEffectsOptions): ModelEffects {
  const { admission, reclaimer, clock, log, bus } = options;
  const troubles = new WeakMap<Place, Trouble>();
  /** Places whose last loads have all failed: nobody waits for them in hope. */
  const hopeless = new WeakSet<Place>();
  const underWay = new Set<Promise<unknown>>();
  const timers = new Set<ReturnType<typeof setTimeout>>();
  const closing = new AbortController();
  /** Backends whose process is stopped for this many evictions. */
  const closed = new Map<string, number>();

  function track<T>(work: Promise<T>): Promise<T> {
    underWay.add(work);
    void work.finally(() => underWay.delete(work)).catch(() => undefined);
    return work;
  }

  async function load(place: Place): Promise<void> {
    const { server, device, model } = place;
    const port = options.roster().port(server.name);
    // A lease of an external program: the room itself is all it wants.
    if (!port) return options.scheduler().loaded(place);
    const loadsItself = !port.load && (!port.process || port.process.running());
    if (loadsItself) return options.scheduler().loaded(place);
    admission.loading(place);
    bus.emit("vram.loading", { backend: server.name, model, device: device.name });
    const startedAtMs = clock.monotonicMs();
    try {
      // Also where a plugin ignores the signal: a load that never ends would keep its place.
      await within(LOAD_LIMIT_MS, closing.signal, (signal) => bringIn(port, model, signal));
    } catch (error) {
      return failed(place, error);
    }
    const ms = clock.monotonicMs() - startedAtMs;
    troubles.delete(place);
    hopeless.delete(place);
    // The start of a server that loads with its first job tells nothing of the model.
    if (port.load) options.learnLoad(place, ms);
    options.changed(place);
    bus.emit("vram.loaded", { backend: server.name, model, device: device.name, ms });
    log.info("a model was loaded", { backend: server.name, model, device: device.name, ms });
    options.scheduler().loaded(place);
  }

  function failed(place: Place, error: unknown): void {
    if (closing.signal.aborted) return;
    const { server, device, model } = place;
    const reason = messageOf(error);
    const failures = (troubles.get(place)?.failures ?? 0) + 1;
    troubles.set(place, { failures, reason });
    log.warn("a model could not be loaded", { backend: server.name, model, failures, reason });
    bus.emit("vram.load_failed", { backend: server.name, model, device: device.name, reason });
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1));
    place.stuckUntilMs = clock.monotonicMs() + pauseMs;
    reconsiderIn(pauseMs);
    if (failures >= FAILURES_BEFORE_GIVING_UP) {
      troubles.delete(place);
      hopeless.add(place);
      const title = options.roster().port(server.name)?.title ?? server.name;
      const message = `${title} could not load ${model}: ${reason}`;
      const error = new GatewayError("SERVICE_UNAVAILABLE", message);
      admission.fail(place, error, (other) => hopeless.has(other));
    }
    options.scheduler().absent(place);
  }

  /** The scheduler is asked again when a pause is over. */
  function reconsiderIn(ms: number): void {
    if (closing.signal.aborted) return;
    const timer = setTimeout(() => {
      timers.delete(timer);
      options.scheduler().reconsider();
    }, ms + 1);
    timer.unref();
    timers.add(timer);
  }

  async function evict(places: readonly Place[]): Promise<ReclaimResult> {
    const [first] = places as readonly [Place, ...Place[]];
    const { server, device } = first;
    const port = options.roster().port(server.name);
    const models = places.map(({ model, residentMiB }) => ({ model, residentMiB }));
    const there = server.places.filter((it) => it.device === device && isThere(it));
    let isShut = false;
    const close = () => {
      if (!isShut) closed.set(server.name, (closed.get(server.name) ?? 0) + 1);
      isShut = true;
      server.available = false;
    };
    const result = port
      ? await reclaimer.reclaim({
          backend: guarded(port, server, close),
          device: device.name,
          models,
          allModels: there.map(({ model, residentMiB }) => ({ model, residentMiB })),
          signal: closing.signal,
        })
      : nothingToDo(first);
    bus.emit("vram.reclaimed", result);
    // Nothing is decided before the probe was asked whether what has left is free now.
    options.scheduler().together(() => {
      for (const place of places) {
        if (result.freed) options.scheduler().left(place);
        else options.scheduler().stayed(place, clock.monotonicMs() + STUCK_MS);
      }
      if (result.freed && tookAll(result, port)) {
        for (const place of there) if (isThere(place)) options.scheduler().absent(place);
      }
      options.changed(first);
      if (isShut) open(server.name);
    });
    if (!result.freed) reconsiderIn(STUCK_MS);
    log[result.freed ? "info" : "warn"](
      result.freed ? "models left a device" : "models did not leave a device",
      { ...result },
    );
    return result;
  }

  /** Its memory is measured by now, so that others may have it. */
  function open(backend: string): void {
    const left = (closed.get(backend) ?? 1) - 1;
    if (left > 0) closed.set(backend, left);
    else closed.delete(backend);
    options.reopened();
  }

  return {
    start: admission.started,
    load: (place) => void track(load(place)),
    evict: (places) => void track(evict(places)),
    evictNow: (places) => track(evict(places)),
    isClosed: (backend) => closed.has(backend),
    failureOf: (place) => troubles.get(place)?.reason,
    wake({ name }) {
      const process = options.roster().port(name)?.process;
      if (!process || process.running()) return undefined;
      return track(within(LOAD_LIMIT_MS, closing.signal, (signal) => startUp(process, signal)));
    },
    async close() {
      closing.abort(new GatewayError("SHUTTING_DOWN"));
      for (const timer of timers) clearTimeout(timer);
      await Promise.allSettled(underWay);
    },
  };
}

function isThere({ state }: Place): boolean {
  return state === "resident" || state === "leaving";
}

async function bringIn(port: BackendPort, model: string, signal: AbortSignal): Promise<void> {
  const { process } = port;
  if (process && !process.running()) await process.start(signal, "demand");
  await port.load?.(model, signal);
  // A job must not be sent to a server that has died meanwhile.
  if (process && !process.running()) throw new Error("its process has ended");
}

/** Tried as often as a load; the process itself sees to the pauses. */
async function startUp(process: ProcessPort, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !process.running(); ) {
    try {
      await process.start(signal, "demand");
      return;
    } catch (error) {
      if (++failures >= FAILURES_BEFORE_GIVING_UP || signal.aborted) throw error;
    }
  }
}

/** Whether with these models went everything that the server held. */
function tookAll({ attempts }: ReclaimResult, port: BackendPort | undefined): boolean {
  const took = attempts.findLast(({ believed }) => believed)?.verb;
  return took !== "free" || port?.frees === "everything";
}

/**
 * A server that computes or loads for another job by then is not stopped for this one; one that is
 * stopped takes no jobs until `close` is taken back.
 */
function guarded(port: BackendPort, server: Server, close: () => void): BackendPort {
  const { process } = port;
  if (!process) return port;
  const alone = (work: () => Promise<void>): Promise<void> => {
    // Jobs of a process that has died are still on their way to their end.
    if (server.running > 0 && process.running())
      throw new Error(`${port.title} computes for another job`);
    if (server.places.some(({ state }) => state === "loading")) {
      throw new Error(`${port.title} loads another model`);
    }
    close();
    return work();
  };
  return {
    ...port,
    process: {
      ...process,
      stop: async (signal) => alone(() => process.stop(signal)),
      restart: async (signal) => alone(() => process.restart(signal)),
    },
  };
}

function nothingToDo({ server, device, model, residentMiB }: Place): ReclaimResult {
  return {
    backend: server.name,
    device: device.name,
    models: [model],
    freed: true,
    expectedMiB: residentMiB,
    actualMiB: null,
    attempts: [],
  };
}
