/** The part of the fake Ollama that loads, queues, reloads and unloads models. */
import { setTimeout as delay } from "node:timers/promises";
import { createFakeMemory, type Holding, type MemoryOptions } from "./memory.ts";
import { Refusal } from "./ollama-wire.ts";

export interface FakeModel {
  readonly name: string;
  /** Bytes on disk. */
  readonly size: number;
  readonly capabilities: readonly string[];
  readonly contextLength: number;
  readonly embeddingLength: number;
  readonly parameterSize: string;
  readonly quantization: string;
  readonly remoteHost?: string;
}

export interface RunnerOptions {
  /** Milliseconds that a load takes: of every model, or by name (5 where it has none). */
  readonly loadMs: number | Readonly<Record<string, number>>;
  /** Milliseconds for which `/api/ps` lists a model after the unload was answered. */
  readonly lingerMs: number;
  /** Memory of the pretended GPU, without `memory`; what does not fit goes to the CPU. */
  readonly vramMiB: number;
  /** Requests that may wait before "server busy". */
  readonly maxQueue: number;
  /** Where it holds its models; it holds them nowhere without. */
  readonly memory?: MemoryOptions;
}

export interface Runner {
  readonly model: FakeModel;
  readonly options: string;
  readonly numCtx: number;
  readonly sizeBytes: number;
  readonly vramBytes: number;
  readonly holding: Holding | undefined;
  busy: boolean;
  leaving: boolean;
  expiresAt: number;
  expiry?: ReturnType<typeof setTimeout>;
}

export interface Use {
  readonly loadNanoseconds: number;
  readonly numCtx: number;
  /** Gives the slot back. */
  done(): void;
}

/** Put together as llm/llama_server.go and llm/status.go do (0.33.0-rc2). */
const OUT_OF_MEMORY =
  "llama-server process has terminated: exit status 1: cudaMalloc failed: out of memory";
const MIB = 1024 ** 2;
const KV_BYTES_PER_TOKEN = 128 * 1024;
/** One of these differs: Ollama unloads the model and loads it again. */
const LOAD_TIME = ["num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread"];

export interface Runners {
  readonly counts: { loads: number; reloads: number; unloads: number };
  /** Takes the model's only slot, first come first served; undefined means "server busy". */
  use(model: FakeModel, options: Record<string, unknown>, ask: Ask): Promise<Use | undefined>;
  /** The model leaves when it is idle, and `/api/ps` shows it for a while longer. */
  expire(name: string): void;
  expireAll(): void;
  list(): readonly Runner[];
  close(): void;
}

export interface Ask {
  readonly keepAliveMs: number;
  readonly extraLoadMs: number;
  readonly signal: AbortSignal;
}

export function createRunners(limits: RunnerOptions): Runners {
  const loaded = new Map<string, Runner>();
  const turns = new Map<string, Promise<void>>();
  const counts = { loads: 0, reloads: 0, unloads: 0 };
  const memory = limits.memory && createFakeMemory("ollama", limits.memory);
  let waiting = 0;

  async function load(model: FakeModel, options: Record<string, unknown>, ask: Ask) {
    const chosen = JSON.stringify(LOAD_TIME.map((name) => options[name] ?? null));
    const present = loaded.get(model.name);
    if (present !== undefined && present.options === chosen && !present.leaving) {
      return { runner: present, loadNanoseconds: 2_000_000 };
    }
    if (present !== undefined) drop(present);
    counts.loads += 1;
    if (present !== undefined) counts.reloads += 1;
    const { loadMs: stated } = limits;
    const ownMs = typeof stated === "number" ? stated : (stated[model.name] ?? 5);
    const loadMs = ownMs + ask.extraLoadMs;
    const runner = await newRunner(model, options, chosen);
    // Who closes the connection ends the load.
    await delay(loadMs, undefined, { signal: ask.signal }).catch((error: unknown) => {
      runner.holding?.drop();
      throw error;
    });
    loaded.set(model.name, runner);
    return { runner, loadNanoseconds: loadMs * 1e6 };
  }

  async function newRunner(
    model: FakeModel,
    options: Record<string, unknown>,
    chosen: string,
  ): Promise<Runner> {
    const numCtx = Number(options.num_ctx ?? 32_768);
    const sizeBytes = model.size + Math.min(numCtx, model.contextLength) * KV_BYTES_PER_TOKEN;
    const used = [...loaded.values()].reduce((sum, { vramBytes }) => sum + vramBytes, 0);
    const limitBytes = memory === undefined ? limits.vramMiB * MIB - used : sizeBytes;
    const roomBytes = options.num_gpu === 0 ? 0 : Math.max(0, limitBytes);
    const wantedBytes = Math.min(sizeBytes, roomBytes);
    const holding = await holdingFor(model.name, Math.ceil(wantedBytes / MIB));
    const vramBytes = holding === undefined ? wantedBytes : holding.mib * MIB;
    const state = { holding, busy: true, leaving: false, expiresAt: 0 };
    return { model, options: chosen, numCtx, sizeBytes, vramBytes, ...state };
  }

  /** Idle models of its own leave first; what does not fit then fails, or goes to the CPU. */
  async function holdingFor(name: string, ownMiB: number): Promise<Holding | undefined> {
    if (memory === undefined || ownMiB === 0) return undefined;
    const { residentMiB, full = "refuse" } = limits.memory ?? {};
    const wantedMiB = residentMiB?.[name] ?? ownMiB;
    if (memory.failsNow()) throw new Refusal(500, OUT_OF_MEMORY);
    for (;;) {
      await memory.settled();
      const holding = memory.hold(name, wantedMiB);
      if (holding !== undefined) return holding;
      const idle = [...loaded.values()].find(({ busy }) => !busy);
      if (idle !== undefined) drop(idle);
      else if (full === "spill") return memory.hold(name, Math.floor(memory.freeMiB()));
      else throw new Refusal(500, OUT_OF_MEMORY);
    }
  }

  function drop(runner: Runner): void {
    clearTimeout(runner.expiry);
    if (loaded.get(runner.model.name) !== runner) return;
    loaded.delete(runner.model.name);
    counts.unloads += 1;
    if (runner.leaving) runner.holding?.free();
    else runner.holding?.drop();
  }

  function leaveAfter(runner: Runner, ms: number): void {
    clearTimeout(runner.expiry);
    runner.expiresAt = Date.now() + ms;
    runner.expiry = setTimeout(drop, Math.min(ms, 2 ** 31 - 1), runner);
  }

  function finish(runner: Runner, keepAliveMs: number): void {
    runner.busy = false;
    leaveAfter(runner, runner.leaving ? limits.lingerMs : keepAliveMs);
  }

  function expire(name: string): void {
    const runner = loaded.get(name);
    if (runner === undefined) return;
    runner.leaving = true;
    if (!runner.busy) leaveAfter(runner, limits.lingerMs);
  }

  return {
    counts,
    expire,
    expireAll: () => [...loaded.keys()].forEach(expire),
    list: () => [...loaded.values()],
    close() {
      [...loaded.values()].forEach(drop);
      memory?.close();
    },
    async use(model, options, ask) {
      const before = turns.get(model.name);
      if (before !== undefined && waiting >= limits.maxQueue) return undefined;
      const { promise, resolve } = Promise.withResolvers<void>();
      const mine = Promise.all([before, promise]).then(() => undefined);
      turns.set(model.name, mine);
      const release = (): void => {
        resolve();
        if (turns.get(model.name) === mine) turns.delete(model.name);
      };
      waiting += 1;
      await before;
      waiting -= 1;
      try {
        ask.signal.throwIfAborted();
        const { runner, loadNanoseconds } = await load(model, options, ask);
        clearTimeout(runner.expiry);
        runner.busy = true;
        const done = (): void => {
          finish(runner, ask.keepAliveMs);
          release();
        };
        return { loadNanoseconds, numCtx: runner.numCtx, done };
      } catch (error) {
        release();
        throw error;
      }
    },
  };
}
