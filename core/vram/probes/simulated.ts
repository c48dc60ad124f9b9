/**
 * A device that is a folder, for tests and the demo: each file `<pid>-<anything>.json` is memory
 * that a living process holds, so that real child processes and stand-in servers can allocate, and
 * what a process held is free again when it dies, as on a real card.
 *
 * `device.json` says what the card is: {"total_mib": 24576}, and if wanted "product", "uuid",
 * "reserved_mib" (used by nobody), "hide_processes": true (as in a container), "missing": "why"
 * (as after a driver reset). Unlike a card, the folder lets processes take more than there is:
 * used then exceeds total, so that a test sees the over-commitment.
 */
import { randomUUID } from "node:crypto";
import {
  type FSWatcher,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  watch,
  writeFileSync,
} from "node:fs";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../clock.ts";
import { messageOf } from "../../log.ts";
import type { Cell } from "./cell.ts";
import { member, numberIn, textIn } from "./json-text.ts";
import type { Source } from "./loop.ts";
import type { ProcessReading } from "./probe.ts";

export interface Allocation {
  /** Holds this much from now on. */
  set(mib: number): void;
  /** Holds nothing any more; harmless when called twice. */
  free(): void;
}

/**
 * Lets a process (this one, unless `pid` says another) hold memory of the simulated device. It is
 * seen when this returns: the file appears whole under its name.
 */
export function allocate(
  folder: string,
  mib: number,
  name?: string,
  pid: number = process.pid,
): Allocation {
  const id = randomUUID();
  const path = join(folder, `${pid}-${id}.json`);
  // One temporary name an allocation, so that a crash between leaves at most one file.
  const temporary = join(folder, `.${pid}-${id}.tmp`);
  let freed = false;
  const set = (amountMiB: number): void => {
    if (!Number.isFinite(amountMiB) || amountMiB < 0) {
      throw new RangeError(`memory must be a number of MiB from 0, not ${amountMiB}`);
    }
    if (freed) throw new Error("the allocation was freed; allocate again");
    writeFileSync(temporary, JSON.stringify({ pid, used_mib: amountMiB, name }));
    renameSync(temporary, path);
  };
  mkdirSync(folder, { recursive: true });
  set(mib);
  return {
    set,
    free() {
      freed = true;
      rmSync(path, { force: true });
    },
  };
}

/** Writes the folder's `device.json`, whole or not at all. */
export function describeDevice(folder: string, description: Record<string, unknown>): void {
  mkdirSync(folder, { recursive: true });
  const temporary = join(folder, `.device-${randomUUID()}.tmp`);
  writeFileSync(temporary, JSON.stringify(description));
  renameSync(temporary, join(folder, DEVICE_FILE));
}

export interface SimulatedOptions {
  readonly cell: Cell;
  readonly folder: string;
  /** Size where `device.json` gives none. */
  readonly memoryMiB?: number;
  readonly intervalMs: number;
  readonly clock: Clock;
}

const DEVICE_FILE = "device.json";
const ALLOCATION = /^(\d{1,10})-.+\.json$/;
/** A burst of changes becomes one scan. */
const GATHER_MS = 5;

export function openSimulated(
  options: SimulatedOptions,
): Source & { readonly first: Promise<void> } {
  const { cell, folder, intervalMs, clock } = options;
  let closed = false;
  let watcher: FSWatcher | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: Promise<void> | undefined;
  let wanted = false;

  const scan = async (): Promise<void> => {
    const sinceMs = clock.monotonicMs();
    try {
      // Again with every scan: the folder may be made, or made anew, while we run.
      if ((await mkdir(folder, { recursive: true })) !== undefined) {
        // The old watch is on a folder that is no more.
        watcher?.close();
        watcher = undefined;
      }
      watcher ??= watched();
      const seen = await look(folder, options.memoryMiB);
      if (closed) return;
      if ("missing" in seen) cell.publish({ kind: "missing", reason: seen.missing }, sinceMs);
      else
        cell.publish({ kind: "reading", reading: { ...seen, atMs: clock.monotonicMs() } }, sinceMs);
    } catch (error) {
      const reason = `the simulated device cannot be read: ${messageOf(error)}`;
      cell.publish({ kind: "missing", reason }, sinceMs);
    }
  };
  const go = (): Promise<void> => {
    clearTimeout(timer);
    wanted = false;
    running = scan().finally(() => {
      running = undefined;
      if (closed) return;
      if (wanted) void go();
      else timer = setTimeout(() => void go(), intervalMs);
    });
    return running;
  };
  const hurry = (): void => {
    if (closed) return;
    if (running === undefined) void go();
    else wanted = true;
  };
  const watched = (): FSWatcher | undefined => {
    if (closed) return undefined;
    let gathering: ReturnType<typeof setTimeout> | undefined;
    try {
      const it = watch(folder, { persistent: false }, (_event, file) => {
        if (gathering !== undefined || `${file ?? ""}`.startsWith(".")) return;
        gathering = setTimeout(() => {
          gathering = undefined;
          hurry();
        }, GATHER_MS);
      });
      it.on("error", () => {
        it.close();
        watcher = undefined;
      });
      return it;
    } catch {
      // No watches left, or a file system without them: the interval alone must do.
      return undefined;
    }
  };
  const first = go();
  return {
    first,
    hurry,
    async close() {
      closed = true;
      clearTimeout(timer);
      watcher?.close();
      await running;
    },
  };
}

interface Seen {
  readonly totalMiB: number;
  readonly usedMiB: number;
  readonly uuid?: string;
  readonly product?: string;
  readonly processes?: readonly ProcessReading[];
}

async function look(
  folder: string,
  memoryMiB: number | undefined,
): Promise<Seen | { readonly missing: string }> {
  const device = await readJson(join(folder, DEVICE_FILE));
  const missing = textIn(device, "missing");
  if (missing !== undefined) return { missing };
  const totalMiB = numberIn(device, "total_mib") ?? memoryMiB;
  if (totalMiB === undefined || totalMiB <= 0) {
    return { missing: `the simulated device has no size: set memory_mib, or write ${DEVICE_FILE}` };
  }
  const processes = await allocations(folder);
  const reservedMiB = numberIn(device, "reserved_mib") ?? 0;
  const uuid = textIn(device, "uuid");
  const product = textIn(device, "product");
  return {
    totalMiB,
    usedMiB: processes.reduce((sum, { usedMiB }) => sum + usedMiB, reservedMiB),
    ...(uuid === undefined ? {} : { uuid }),
    ...(product === undefined ? {} : { product }),
    ...(member(device, "hide_processes") === true ? {} : { processes }),
  };
}

async function allocations(folder: string): Promise<readonly ProcessReading[]> {
  const perPid = new Map<number, ProcessReading>();
  for (const file of await readdir(folder)) {
    const pid = Number(ALLOCATION.exec(file)?.[1] ?? Number.NaN);
    if (Number.isNaN(pid)) continue;
    if (!isAlive(pid)) {
      // Taken away, because the system will give the number to another process one day.
      await rm(join(folder, file), { force: true });
      continue;
    }
    const json = await readJson(join(folder, file));
    const usedMiB = numberIn(json, "used_mib");
    if (numberIn(json, "pid") !== pid || usedMiB === undefined) continue;
    const before = perPid.get(pid);
    const name = textIn(json, "name") ?? before?.name;
    const sum = usedMiB + (before?.usedMiB ?? 0);
    perPid.set(pid, { pid, usedMiB: sum, ...(name === undefined ? {} : { name }) });
  }
  return [...perPid.values()];
}

/** Undefined when the file is gone or is no JSON. */
async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch {
    return undefined;
  }
}

/** A process that ended but was not waited for has given its memory back, though its pid is there. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    const denied = error instanceof Error && "code" in error && error.code === "EPERM";
    if (!denied) return false;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    // No /proc on this system, or it went away just now; the next scan knows.
    return true;
  }
}
