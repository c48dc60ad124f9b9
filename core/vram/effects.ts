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
import type { BackendPort } from "./ports.ts";
import type { Reclaimer, ReclaimResult } from "./reclaim.ts";
import type { Roster } from "./roster.ts";
import type { Effects, Scheduler } from "./scheduler.ts";

export interface ModelEffects extends Effects {
  /** Makes these leave although nobody needs the room: the operator asked. They must be idle. */
  evictNow(places: readonly Place[]): Promise<ReclaimResult>;
  /** Whether its process is being stopped, so that it takes no jobs. */
  isClosed(backend: string): boolean;
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
  const troubles = new Map<Place, Trouble>();
  const underWay = new Set<Promise<unknown>>();
  const timers = new Set<ReturnType<typeof setTimeout>>();
  const closing = new AbortController();
  /** Backends whose process is being stopped. */
  const closed = new Set<string>();

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
      const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(LOAD_LIMIT_MS)]);
      if (port.process && !port.process.running()) await port.process.start(signal, "demand");
      await port.load?.(model, signal);
    } catch (error) {
      return failed(place, error);
    }
    const ms = clock.monotonicMs() - startedAtMs;
    troubles.delete(place);
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
    wake(pauseMs);
    if (failures >= FAILURES_BEFORE_GIVING_UP) {
      troubles.delete(place);
      const title = options.roster().port(server.name)?.title ?? server.name;
      const message = `${title} could not load ${model}: ${reason}`;
      admission.fail(place, new GatewayError("SERVICE_UNAVAILABLE", message));
    }
    options.scheduler().absent(place);
  }

  /** The scheduler is asked again when a pause is over. */
  function wake(ms: number): void {
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
    const result = port
      ? await reclaimer.reclaim({
          backend: guarded(port, server, closed),
          device: device.name,
          models,
          allModels: there.map(({ model, residentMiB }) => ({ model, residentMiB })),
          signal: closing.signal,
        })
      : nothingToDo(first);
    bus.emit("vram.reclaimed", result);
    const took = result.attempts.findLast(({ believed }) => believed)?.verb;
    // Nothing is decided before the probe was asked whether what has left is free now.
    options.scheduler().together(() => {
      for (const place of places) {
        if (result.freed) options.scheduler().left(place);
        else options.scheduler().stayed(place, clock.monotonicMs() + STUCK_MS);
      }
      if (result.freed && (took === "stop" || took === "restart")) {
        // With its process went everything that it held.
        for (const place of there) if (isThere(place)) options.scheduler().absent(place);
      }
      options.changed(first);
    });
    if (!result.freed) wake(STUCK_MS);
    log[result.freed ? "info" : "warn"](
      result.freed ? "models left a device" : "models did not leave a device",
      { ...result },
    );
    return result;
  }

  return {
    start: admission.started,
    load: (place) => void track(load(place)),
    evict: (places) => void track(evict(places)),
    evictNow: (places) => track(evict(places)),
    isClosed: (backend) => closed.has(backend),
    failureOf: (place) => troubles.get(place)?.reason,
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

/** A server that computes for another job by then is not stopped for this one. */
function guarded(port: BackendPort, server: Server, closed: Set<string>): BackendPort {
  const { process } = port;
  if (!process) return port;
  const alone = async (work: () => Promise<void>): Promise<void> => {
    if (server.running > 0) throw new Error(`${port.title} computes for another job`);
    closed.add(port.name);
    server.available = false;
    try {
      await work();
    } finally {
      closed.delete(port.name);
      server.available = port.usable();
    }
  };
  return {
    ...port,
    process: {
      ...process,
      stop: (signal) => alone(() => process.stop(signal)),
      restart: (signal) => alone(() => process.restart(signal)),
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
