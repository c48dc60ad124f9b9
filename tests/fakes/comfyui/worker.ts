/**
 * The fake's queue, worker and history: one prompt at a time, as ComfyUI's single worker thread.
 */
import { type Execution, execute, Interrupted, NodeFailure } from "./execute.ts";
import type { Graph } from "./node-classes.ts";
import type { Residence } from "./residence.ts";
import type { Sockets } from "./sockets.ts";

export interface Item {
  readonly number: number;
  readonly id: string;
  readonly graph: Graph;
  readonly extraData: Readonly<Record<string, unknown>>;
  readonly outputs: readonly string[];
}

export interface HistoryEntry {
  readonly item: Item;
  readonly outputs: Record<string, unknown>;
  readonly status: {
    readonly status_str: "success" | "error";
    readonly completed: boolean;
    readonly messages: readonly (readonly [string, Record<string, unknown>])[];
  };
}

export interface WorkerOptions {
  readonly sockets: Sockets;
  readonly stepMs: number;
  readonly files: Map<string, Uint8Array<ArrayBuffer>>;
  readonly residence: Residence;
}

export interface Worker {
  readonly running: Item | undefined;
  readonly pending: readonly Item[];
  readonly history: Map<string, HistoryEntry>;
  /** How often the prompt was executed; a dead worker counts none. */
  readonly executions: Map<string, number>;
  readonly remaining: number;
  readonly residence: Residence;
  put(item: Item): void;
  remove(id: string): boolean;
  interrupt(id?: string): boolean;
  free(flags: { unloadModels: boolean; freeMemory: boolean }): void;
  /** The thread dies: what runs stays "running", and nothing is ever taken from the queue again. */
  kill(): void;
  /** Forgets everything, as a restart does. */
  restart(): void;
  stop(): void;
}

export function createWorker({ sockets, stepMs, files, residence }: WorkerOptions): Worker {
  const history = new Map<string, HistoryEntry>();
  const executions = new Map<string, number>();
  let cache = new Map<string, unknown>();
  let pending: Item[] = [];
  let running: Item | undefined;
  let dead = false;
  let flags = { unloadModels: false, freeMemory: false };
  /** Replaced by a restart, so that a prompt of the old process cannot end in the new one. */
  let life = { over: false, interrupted: false };

  const remaining = () => pending.length + (running ? 1 : 0);
  const queueChanged = () =>
    sockets.send("status", { status: { exec_info: { queue_remaining: remaining() } } });

  async function work(): Promise<void> {
    const mine = life;
    while (!running && !dead && pending.length > 0 && !mine.over) {
      pending.sort((a, b) => a.number - b.number);
      running = pending.shift();
      queueChanged();
      if (running) await perform(running, mine);
    }
    freeIfAsked();
  }

  async function perform(item: Item, mine: typeof life): Promise<void> {
    // A real worker clears the flag here: an interrupt that came just before is lost.
    mine.interrupted = false;
    executions.set(item.id, (executions.get(item.id) ?? 0) + 1);
    const sid = typeof item.extraData.client_id === "string" ? item.extraData.client_id : undefined;
    const messages: [string, Record<string, unknown>][] = [];
    const execution: Execution = {
      item,
      sockets,
      sid,
      stepMs,
      files,
      residence,
      cache,
      note(event, data) {
        const stamped = { prompt_id: item.id, ...data, timestamp: Date.now() };
        messages.push([event, stamped]);
        if (sid !== undefined || event === "execution_interrupted")
          sockets.send(event, stamped, sid);
      },
      get interrupted() {
        return mine.interrupted;
      },
      get over() {
        return mine.over || dead;
      },
    };
    const { outputs, failed, kept } = await attempt(execution);
    // The thread or the process is gone: nobody writes a history or says that it ended.
    if (mine.over || dead) return;
    cache = kept;
    running = undefined;
    const status_str = failed ? "error" : "success";
    history.set(item.id, { item, outputs, status: { status_str, completed: !failed, messages } });
    queueChanged();
    if (sid !== undefined) sockets.send("executing", { node: null, prompt_id: item.id }, sid);
  }

  function freeIfAsked(): void {
    if (running || dead) return;
    if (flags.unloadModels || flags.freeMemory) residence.free();
    if (flags.freeMemory) cache = new Map();
    flags = { unloadModels: false, freeMemory: false };
  }

  function restart(): void {
    life.over = true;
    life = { over: false, interrupted: false };
    running = undefined;
    pending = [];
    history.clear();
    residence.close();
    cache = new Map();
    dead = false;
  }

  return {
    history,
    executions,
    residence,
    restart,
    get running() {
      return running;
    },
    get pending() {
      return pending;
    },
    get remaining() {
      return remaining();
    },
    put(item) {
      pending.push(item);
      queueChanged();
      // The answer to POST /prompt leaves before the worker thread wakes up.
      if (!running) setTimeout(() => void work());
    },
    remove(id) {
      const before = pending.length;
      pending = pending.filter((item) => item.id !== id);
      if (pending.length === before) return false;
      queueChanged();
      return true;
    },
    interrupt(id) {
      if (id !== undefined && running?.id !== id) return false;
      life.interrupted = true;
      return true;
    },
    free(asked) {
      flags = {
        unloadModels: flags.unloadModels || asked.unloadModels,
        freeMemory: flags.freeMemory || asked.freeMemory,
      };
      freeIfAsked();
    },
    kill() {
      dead = true;
    },
    stop: restart,
  };
}

async function attempt(
  execution: Execution,
): Promise<{ outputs: Record<string, unknown>; failed: boolean; kept: Map<string, unknown> }> {
  const outputs: Record<string, unknown> = {};
  const kept = new Map<string, unknown>();
  try {
    await execute(execution, outputs, kept);
    return { outputs, failed: false, kept };
  } catch (error) {
    const node = { node_id: "", node_type: "", executed: Object.keys(outputs) };
    if (error instanceof Interrupted) {
      execution.note("execution_interrupted", { ...node, ...error.node });
    } else if (error instanceof NodeFailure) {
      const { message, exceptionType } = error;
      execution.note("execution_error", {
        ...node,
        ...error.node,
        exception_message: message,
        exception_type: exceptionType,
        traceback: ['  File "execution.py", line 1, in execute\n'],
        current_inputs: {},
        current_outputs: [],
      });
    } else throw error;
    return { outputs, failed: true, kept };
  }
}
