/**
 * A backend on a device, with verbs that do what a test wants, and the reclaimer that is to make it
 * leave. What the reclaimer is shown is what the world holds.
 */
import { systemClock } from "../../../core/clock.ts";
import { type Log, silentLog } from "../../../core/log.ts";
import type { BackendPort } from "../../../core/vram/ports.ts";
import {
  createReclaimer,
  type HeldModel,
  type Reclaimer,
  type ReclaimRequest,
  type ReclaimResult,
  type ReclaimSettings,
  type Usage,
} from "../../../core/vram/reclaim/reclaim.ts";

/** Short waits; everything else as in operation. */
export const QUICK: Partial<ReclaimSettings> = {
  lookMs: 2,
  watchMs: 40,
  againMs: 10,
  measureMs: 500,
  freeMs: 500,
  processMs: 500,
};

export interface World {
  /** MiB by model. */
  readonly held: Map<string, number>;
  /** Of other programs. */
  othersMiB: number;
  /** Of the backend, whatever it holds. */
  contextMiB: number;
  running: boolean;
  /** own: processes can be told apart; device: only the device; none: no probe. */
  sight: "own" | "device" | "none";
  /** Verbs in the order in which they were called: `free a`, `stop`. */
  readonly calls: string[];
  readonly backend: BackendPort;
}

export interface Verbs {
  /** What `free` does, after it was written down; absent: it has none. */
  readonly free?: (world: World, model: string, signal: AbortSignal) => unknown;
  readonly restart?: (world: World, signal: AbortSignal) => unknown;
  readonly stop?: (world: World, signal: AbortSignal) => unknown;
  /** Whether somebody supervises it; when a process verb is given unless said. */
  readonly process?: boolean;
  readonly residents?: (world: World) => readonly string[];
}

export const leaves = (world: World, model: string): void => void world.held.delete(model);
export const everythingLeaves = ({ held }: World): void => held.clear();
export const nothing = (): void => {};
/** Every model shrinks to this part. */
export const shrinks =
  (part: number) =>
  ({ held }: World): void => {
    for (const [model, mib] of held) held.set(model, mib * part);
  };
export const fails = (): never => {
  throw new Error("connection refused");
};
/** Ignores its signal, too. */
export const hangs = (): Promise<never> => new Promise(() => {});

export function createWorld(
  verbs: Verbs,
  options: Partial<Pick<World, "othersMiB" | "contextMiB" | "sight">> & {
    readonly models?: Readonly<Record<string, number>>;
    readonly frees?: BackendPort["frees"];
    readonly name?: string;
  } = {},
): World {
  const { models = { a: 8_000 }, frees = "model", name = "images" } = options;
  const { free, residents } = verbs;
  const world: World = {
    held: new Map(Object.entries(models)),
    othersMiB: options.othersMiB ?? 1_000,
    contextMiB: options.contextMiB ?? 300,
    sight: options.sight ?? "own",
    running: true,
    calls: [],
    get backend() {
      return port;
    },
  };
  const processPort = {
    running: () => world.running,
    describe: () => ({ state: world.running ? "ready" : "stopped" }),
    busy: nothing,
    start: async () => {
      world.running = true;
    },
    stop: async (signal: AbortSignal) => {
      world.calls.push("stop");
      if (verbs.stop) return void (await verbs.stop(world, signal));
      world.held.clear();
      world.running = false;
    },
    restart: async (signal: AbortSignal) => {
      world.calls.push("restart");
      if (verbs.restart) return void (await verbs.restart(world, signal));
      world.held.clear();
    },
  };
  const supervised = verbs.process ?? (verbs.stop ?? verbs.restart) !== undefined;
  const port: BackendPort = {
    name,
    title: name,
    device: "gpu0",
    concurrency: 1,
    frees,
    usable: () => world.running,
    busy: () => undefined,
    pids: async () => [],
    ...(supervised ? { process: processPort } : {}),
    ...(free
      ? {
          free: async (model: string, signal: AbortSignal) => {
            world.calls.push(`free ${model}`);
            await free(world, model, signal);
          },
        }
      : {}),
    ...(residents
      ? {
          residents: async () =>
            residents(world).map((model) => ({ model, residentMiB: world.held.get(model) ?? 0 })),
        }
      : {}),
  };
  return world;
}

export function usageOf(world: World): Usage | undefined {
  if (world.sight === "none") return undefined;
  let ownMiB = world.running ? world.contextMiB : 0;
  for (const mib of world.held.values()) ownMiB += mib;
  const deviceMiB = world.othersMiB + ownMiB;
  return world.sight === "own" ? { deviceMiB, ownMiB } : { deviceMiB };
}

/** A clock that can be put forward; it runs by itself, too. */
export function movableClock() {
  let aheadMs = 0;
  return {
    nowMs: () => systemClock.nowMs() + aheadMs,
    monotonicMs: () => systemClock.monotonicMs() + aheadMs,
    forward(ms: number): void {
      aheadMs += ms;
    },
  };
}

export interface Reclaiming {
  readonly reclaimer: Reclaimer;
  readonly clock: ReturnType<typeof movableClock>;
  /** The messages of the log at `warn` and `error`. */
  readonly warnings: string[];
  /** Asks for everything that was put into the world, unless said. */
  reclaim(world: World, request?: Partial<ReclaimRequest>): Promise<ReclaimResult>;
}

export function createReclaiming(
  worlds: readonly World[],
  settings: Partial<ReclaimSettings> = {},
  usage: (world: World, looks: number, signal: AbortSignal) => unknown = usageOf,
): Reclaiming {
  const clock = movableClock();
  const warnings: string[] = [];
  const log: Log = {
    ...silentLog,
    warn: (message) => void warnings.push(message),
    error: (message) => void warnings.push(message),
  };
  let looks = 0;
  const reclaimer = createReclaimer({
    clock,
    log,
    settings: { ...QUICK, ...settings },
    usage: async ({ name }, _device, signal) => {
      const world = worlds.find(({ backend }) => backend.name === name);
      return (world && (await usage(world, looks++, signal))) as Usage | undefined;
    },
  });
  const believed = new Map(worlds.map((world) => [world, heldBy(world)]));
  return {
    reclaimer,
    clock,
    warnings,
    reclaim: (world, request = {}) => {
      const all = believed.get(world) ?? [];
      return reclaimer.reclaim({
        backend: world.backend,
        device: "gpu0",
        models: all,
        allModels: all,
        signal: new AbortController().signal,
        ...request,
      });
    },
  };
}

export function heldBy({ held }: World): HeldModel[] {
  return [...held].map(([model, residentMiB]) => ({ model, residentMiB }));
}
