/**
 * What a stand-in holds of a simulated device (core/vram/probes/simulated.ts): it allocates as the
 * real server would, and may be told to misbehave.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Allocation, allocate } from "../../core/vram/probes/mod.ts";

/** The members that are not `readonly` may be changed while the fake runs. */
export interface MemoryOptions {
  /** The simulated device's folder. */
  readonly folder: string;
  /** The living process that holds it; this one unless said. */
  readonly pid?: number;
  /** Weights in MiB by model, instead of the fake's own figures. */
  readonly residentMiB?: Readonly<Record<string, number>>;
  /** MiB that the process itself holds from its first load until it ends: a CUDA context. */
  readonly contextMiB?: number;
  /** Freeing is answered as ever and frees nothing. */
  lies?: boolean;
  /** How long freed memory takes to come back. */
  lateMs?: number;
  /** So many loads from now on run out of memory, whatever is free. */
  failingLoads?: number;
  /** What a load does on a full device: fail (unless said), or go to the CPU where the server can. */
  full?: "refuse" | "spill";
}

/** Weights of one model, or the working memory of one request. */
export interface Holding {
  readonly mib: number;
  /** The server was told to free it: then it may lie. */
  free(): void;
  /** It is gone, whatever was said: the server needed the room itself, or its process ended. */
  drop(): void;
}

export interface FakeMemory {
  /** Whether the next load must fail; counts it. */
  failsNow(): boolean;
  /** Undefined when the device has no room for it. */
  hold(name: string, mib: number): Holding | undefined;
  /** Settles when what was freed is back. */
  settled(): Promise<void>;
  /** MiB that nobody holds. */
  freeMiB(): number;
  /** MiB that this fake holds, the freed that are not back yet included. */
  heldMiB(): number;
  readonly totalMiB: number;
  /** The process has ended: everything is back at once. */
  close(): void;
}

/** `server` is the name that the device shows for the process. */
export function createFakeMemory(server: string, options: MemoryOptions): FakeMemory {
  const { folder, pid, contextMiB = 0 } = options;
  const held = new Map<Allocation, number>();
  /** Freed in words only, by name: a later load of the same finds it there. */
  const kept = new Map<string, Allocation>();
  /** Freed, and not back yet. */
  const coming = new Map<ReturnType<typeof setTimeout>, Promise<void>>();
  let hasContext = contextMiB === 0;

  function take(mib: number): Allocation | undefined {
    if (mib > roomIn(folder)) return undefined;
    const allocation = allocate(folder, mib, server, pid);
    held.set(allocation, mib);
    // Another process may have taken the same room in this moment; a driver would not let it.
    if (roomIn(folder) >= 0) return allocation;
    giveBack(allocation);
    return undefined;
  }

  function giveBack(allocation: Allocation): void {
    allocation.free();
    held.delete(allocation);
  }

  function leave(allocation: Allocation): void {
    const { lateMs = 0 } = options;
    if (lateMs <= 0) {
      giveBack(allocation);
      return;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      coming.delete(timer);
      giveBack(allocation);
      resolve();
    }, lateMs);
    coming.set(timer, promise);
  }

  return {
    failsNow() {
      const { failingLoads = 0 } = options;
      if (failingLoads <= 0) return false;
      options.failingLoads = failingLoads - 1;
      return true;
    },
    hold(name, mib) {
      if (!hasContext) hasContext = take(contextMiB) !== undefined;
      const found = kept.get(name);
      kept.delete(name);
      if (found !== undefined) giveBack(found);
      const allocation = take(mib);
      if (allocation === undefined) return undefined;
      let gone = false;
      const once = (work: () => void) => () => {
        if (!gone) work();
        gone = true;
      };
      return {
        mib,
        free: once(() => {
          if (options.lies) kept.set(name, allocation);
          else leave(allocation);
        }),
        drop: once(() => leave(allocation)),
      };
    },
    settled: async () => void (await Promise.all(coming.values())),
    freeMiB: () => Math.max(0, roomIn(folder)),
    heldMiB: () => [...held.values()].reduce((sum, mib) => sum + mib, 0),
    get totalMiB() {
      return totalOf(folder);
    },
    close() {
      for (const timer of coming.keys()) clearTimeout(timer);
      coming.clear();
      kept.clear();
      hasContext = contextMiB === 0;
      for (const allocation of [...held.keys()]) giveBack(allocation);
    },
  };
}

/** MiB that no living process holds; below 0 when they hold more than there is. */
function roomIn(folder: string): number {
  let roomMiB = totalOf(folder);
  for (const file of namesIn(folder)) {
    const pid = Number(/^(\d+)-.+\.json$/.exec(file)?.[1] ?? Number.NaN);
    if (Number.isNaN(pid) || !isAlive(pid)) continue;
    roomMiB -= Number(read(join(folder, file)).used_mib ?? 0);
  }
  return roomMiB;
}

function totalOf(folder: string): number {
  const { total_mib = Number.POSITIVE_INFINITY, reserved_mib = 0 } = read(
    join(folder, "device.json"),
  );
  return Number(total_mib) - Number(reserved_mib);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Empty for a file that went away between being listed and being read. */
function read(path: string): Record<string, unknown> {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return {};
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
