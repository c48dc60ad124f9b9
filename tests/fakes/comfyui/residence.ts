/**
 * The models that the fake ComfyUI holds. With a simulated device they take room there, and pictures
 * take some on top while they are drawn; what does not fit ends as on a real card.
 */
import { setTimeout as delay } from "node:timers/promises";
import { createFakeMemory, type Holding, type MemoryOptions } from "../memory.ts";

export interface ResidenceOptions {
  readonly memory?: MemoryOptions | undefined;
  /** Milliseconds that a load takes: of every model, or by file (0 where it has none). */
  readonly loadMs?: number | Readonly<Record<string, number>> | undefined;
}

export interface Residence {
  readonly loaded: ReadonlySet<string>;
  /** Bytes, as PyTorch counts them. */
  readonly torchBytes: number;
  /** MiB by file; false when the device has no room for them. */
  load(files: ReadonlyMap<string, number>): Promise<boolean>;
  /** What drawing takes on top; undefined when there is no room, a function to give it back else. */
  work(megapixels: number): (() => void) | undefined;
  /** POST /free. */
  free(): void;
  /** Its own decision: after it ran out of memory. */
  dropAll(): void;
  /** The process ends. */
  close(): void;
}

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
/** As the shipped workflows declare it for a picture of one megapixel, a quarter of it fixed. */
const WORKING_MIB = 3_000;

export function createResidence({ memory: options, loadMs = 0 }: ResidenceOptions): Residence {
  const loaded = new Set<string>();
  const holdings = new Map<string, Holding>();
  const memory = options && createFakeMemory("comfyui", options);
  /** Replaced when the process ends, so that a load of the old one leaves nothing in the new one. */
  let life = {};

  async function loadOne(file: string, mib: number, needed: ReadonlySet<string>) {
    if (loaded.has(file)) return true;
    const mine = life;
    const holding = memory && (await take(file, options?.residentMiB?.[file] ?? mib, needed));
    if (memory !== undefined && holding === undefined) return false;
    const ms = typeof loadMs === "number" ? loadMs : (loadMs[file] ?? 0);
    if (ms > 0) await delay(ms);
    if (mine !== life) return true;
    if (holding !== undefined) holdings.set(file, holding);
    loaded.add(file);
    return true;
  }

  /** Other models leave first: ComfyUI makes room for what it is about to use. */
  async function take(
    file: string,
    mib: number,
    needed: ReadonlySet<string>,
  ): Promise<Holding | undefined> {
    if (memory === undefined || memory.failsNow()) return undefined;
    for (;;) {
      await memory.settled();
      const holding = memory.hold(file, mib);
      const other = [...holdings.keys()].find((name) => !needed.has(name));
      if (holding !== undefined || other === undefined) return holding;
      drop(other);
    }
  }

  function drop(file: string): void {
    holdings.get(file)?.drop();
    holdings.delete(file);
    loaded.delete(file);
  }

  const dropAll = () => [...loaded].forEach(drop);

  return {
    loaded,
    dropAll,
    get torchBytes() {
      return memory ? memory.heldMiB() * MIB : 0.1 * GIB + loaded.size * 6 * GIB;
    },
    async load(files) {
      const needed = new Set(files.keys());
      for (const [file, mib] of files) if (!(await loadOne(file, mib, needed))) return false;
      return true;
    },
    work(megapixels) {
      if (memory === undefined) return () => {};
      return memory.hold("working", Math.ceil(WORKING_MIB * (0.25 + 0.75 * megapixels)))?.drop;
    },
    free() {
      if (options?.lies) return;
      dropAll();
    },
    close() {
      life = {};
      holdings.clear();
      loaded.clear();
      memory?.close();
    },
  };
}
