/**
 * The worker threads of one backend: started at the first request, kept for a while for the next
 * one, ended when idle so that they hold no memory, and replaced when they die. WebAssembly cannot
 * be asked to stop, so a cancelled request ends its worker.
 */
import { Worker } from "node:worker_threads";
import { exchange } from "./exchange.ts";
import type { Listed, Request, Result, SpeakRequest, Spoken } from "./protocol.ts";

export interface Speakers {
  speak(
    request: SpeakRequest,
    signal: AbortSignal,
    progress: (fraction: number) => void,
  ): Promise<Spoken>;
  list(signal: AbortSignal): Promise<Listed>;
  /** How many workers this backend holds now. */
  count(): number;
  close(): Promise<void>;
}

/** `idleTimeoutMs`: how long a worker stays when there is nothing to say. */
export function openSpeakers(idleTimeoutMs: number, start: () => Worker = startWorker): Speakers {
  const living = new Set<Worker>();
  const idle = new Map<Worker, ReturnType<typeof setTimeout>>();

  function take(): Worker {
    const [rested] = idle.keys();
    const worker = rested ?? start();
    clearTimeout(idle.get(worker));
    idle.delete(worker);
    if (rested === undefined) {
      living.add(worker);
      worker.once("exit", () => forget(worker));
      worker.on("error", () => forget(worker));
    }
    worker.ref();
    return worker;
  }

  function rest(worker: Worker): void {
    if (!living.has(worker)) return;
    worker.unref();
    idle.set(worker, setTimeout(() => end(worker), idleTimeoutMs).unref());
  }

  function forget(worker: Worker): void {
    clearTimeout(idle.get(worker));
    idle.delete(worker);
    living.delete(worker);
  }

  function end(worker: Worker): Promise<unknown> {
    forget(worker);
    return worker.terminate().catch(() => undefined);
  }

  async function ask(
    request: Request,
    signal: AbortSignal,
    progress: (fraction: number) => void = () => {},
  ): Promise<Result> {
    signal.throwIfAborted();
    const worker = take();
    try {
      const result = await exchange(worker, request, signal, progress);
      rest(worker);
      return result;
    } catch (error) {
      // Not awaited: the thread may need half a second to notice, and nobody waits for its result.
      void end(worker);
      throw error;
    }
  }

  return {
    async speak(request, signal, progress) {
      const result = await ask(request, signal, progress);
      if (result.kind !== "spoken") throw new Error(`the worker answered ${result.kind}`);
      return result;
    },
    async list(signal) {
      const result = await ask({ kind: "list" }, signal);
      if (result.kind !== "listed") throw new Error(`the worker answered ${result.kind}`);
      return result;
    },
    count: () => living.size,
    async close() {
      await Promise.all([...living].map(end));
    },
  };
}

function startWorker(): Worker {
  return new Worker(new URL("./worker.ts", import.meta.url));
}
