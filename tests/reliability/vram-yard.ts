/**
 * A simulated device, model servers on it that really hold memory, and the configuration of a
 * gateway that runs them. The device is watched all the while: what was used at most counts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { describeDevice, openProbes } from "../../core/vram/probes/mod.ts";
import { eventually, type Gateway, temporaryFolder } from "../gateway.ts";

const FIXTURES = resolve(import.meta.dir, "..", "fixtures");
export const MODEL_SERVER = join(FIXTURES, "plugins", "model-server");
/** Says nothing about what it holds. */
export const MUTE_SERVER = join(FIXTURES, "plugins", "mute-server");
/** Of tests/fixtures/servers/model-server.ts. */
export const MIB_PER_HOST_MIB = 128;
const WATCH_EVERY_MS = 3;

export interface BackendWish {
  /** What its models really take. */
  readonly models: Readonly<Record<string, { readonly mib: number; readonly load_ms?: number }>>;
  /** Options of the server: its bad habits. */
  readonly server?: Readonly<Record<string, unknown>>;
  /** More of `process:`. */
  readonly process?: Readonly<Record<string, unknown>>;
  /** More settings of the backend. */
  readonly more?: Readonly<Record<string, unknown>>;
  /** False: the test starts it with `startServer`. */
  readonly supervised?: boolean;
}

export interface Yard {
  /** Of the gateway: configuration and data. */
  readonly folder: string;
  /** Of the simulated device. */
  readonly device: string;
  readonly totalMiB: number;
  add(name: string, wish: BackendWish): Promise<void>;
  forget(name: string): void;
  /** As YAML; JSON is YAML. */
  config(settings?: Readonly<Record<string, unknown>>): string;
  /** Of a backend that is not supervised. */
  startServer(name: string): Promise<ChildProcess>;
  /** Asks the server itself. */
  ask(name: string, method: string, path: string, body?: unknown): Promise<any>;
  /** Of the server that answers now. */
  pid(name: string): Promise<number>;
  /** The most that was ever used on the device. */
  readonly peakMiB: number;
  readonly usedMiB: number;
  close(): Promise<void>;
}

export async function createYard(totalMiB = 24_576): Promise<Yard> {
  const folder = temporaryFolder();
  const device = join(folder, "gpu0");
  mkdirSync(device);
  describeDevice(device, { total_mib: totalMiB });
  const backends = new Map<string, Record<string, unknown>>();
  const commands = new Map<string, string[]>();
  const urls = new Map<string, string>();
  const children: ChildProcess[] = [];
  const watched = await watchDevice(device);

  async function ask(name: string, method: string, path: string, body?: unknown) {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const answer = await fetch(`${urls.get(name)}${path}`, { method, ...sent });
    return answer.json();
  }

  return {
    folder,
    device,
    totalMiB,
    async add(name, { models, server, process: own, more, supervised = true }) {
      const port = await freePort();
      const options = { port, name, device, ...server };
      const script = join(FIXTURES, "servers", "model-server.ts");
      const command = [process.execPath, script, JSON.stringify(options)];
      commands.set(name, command);
      urls.set(name, `http://127.0.0.1:${port}`);
      backends.set(name, {
        use: MODEL_SERVER,
        url: urls.get(name),
        models,
        ...(supervised ? { process: { command, ...own } } : {}),
        ...more,
      });
    },
    forget: (name) => void backends.delete(name),
    config: (settings = {}) =>
      JSON.stringify({
        health: { interval_ms: 500 },
        ...settings,
        devices: { gpu0: { probe: "simulated", simulated_folder: device, headroom_mib: 0 } },
        backends: Object.fromEntries(backends),
      }),
    async startServer(name) {
      const [file = "", ...args] = commands.get(name) ?? [];
      const child = spawn(file, args, { stdio: "ignore" });
      children.push(child);
      await eventually(`${name} listens`, () => ask(name, "GET", "/health").catch(() => false));
      return child;
    },
    ask,
    pid: async (name) => (await ask(name, "GET", "/health")).pid,
    get peakMiB() {
      return watched.peakMiB;
    },
    get usedMiB() {
      return watched.usedMiB;
    },
    async close() {
      for (const child of children) child.kill("SIGKILL");
      await watched.close();
      // What a killed gateway left behind ends with its device.
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface JobWish {
  readonly route?: "/generate/image" | "/generate/video";
  readonly model?: string;
  /** Milliseconds of work. */
  readonly ms?: number;
  readonly priority?: number;
}

/** Runs a job to its end. */
export async function runJob(gateway: Gateway, backend: string, more: JobWish = {}): Promise<any> {
  return gateway.ended(await submitJob(gateway, backend, more), 30_000);
}

/** The id of a job that was accepted; `route` is /generate/image unless said. */
export async function submitJob(
  gateway: Gateway,
  backend: string,
  { route = "/generate/image", ...more }: JobWish = {},
): Promise<string> {
  const { status, data, text } = await gateway.call("POST", route, {
    ...{ backend, prompt: "a signal box in the rain" },
    ...more,
  });
  if (status !== 202) throw new Error(`the job was not accepted: ${text}`);
  return data.job_id;
}

/** What the gateway logged with this message, oldest first. */
export function logged(gateway: Gateway, message: string): any[] {
  return gateway
    .output()
    .split("\n")
    .filter((line) => line.startsWith("{") && line.includes(message))
    .map((line) => JSON.parse(line));
}

export function isRunning(pid: number): boolean {
  return stateOf(pid) !== undefined;
}

/** Host memory of a process in MiB; 0 when it is gone. */
export function hostMiB(pid: number): number {
  try {
    const [, kib] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return Number(kib ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** The children of a process, by /proc. */
export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter(Boolean).map(Number);
}

function stateOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const state = stat.slice(stat.lastIndexOf(")") + 2)[0];
    return state === "Z" || state === "X" ? undefined : state;
  } catch {
    return undefined;
  }
}

async function watchDevice(folder: string) {
  const settings = { probe: "simulated", simulated: folder, intervalMs: 100 } as const;
  const options = { clock: systemClock, log: silentLog, env: process.env };
  const probes = await openProbes({ devices: { gpu0: settings }, ...options });
  const probe = probes.get("gpu0");
  if (!probe) throw new Error("the simulated device has no probe");
  const seen = { peakMiB: 0, usedMiB: 0 };
  let closed = false;
  const note = async () => {
    const { usedMiB } = await probe.fresh(AbortSignal.timeout(5_000));
    seen.usedMiB = usedMiB;
    seen.peakMiB = Math.max(seen.peakMiB, usedMiB);
  };
  const watching = (async () => {
    while (!closed) {
      await note().catch(() => undefined);
      await Bun.sleep(WATCH_EVERY_MS);
    }
  })();
  return {
    get peakMiB() {
      return seen.peakMiB;
    },
    get usedMiB() {
      return seen.usedMiB;
    },
    async close() {
      closed = true;
      await watching;
      await probe.close();
    },
  };
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address ? address.port : 0;
      server.close(() => done(port));
    });
  });
}
