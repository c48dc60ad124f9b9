/**
 * Real MCP servers for tests: one process for each version of the package, started when it is first
 * wanted. A test gets a door to it, a port that can be closed without ending the server.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Fake, until, within } from "switchyard/sdk/testing";
import { type Line, mcpEnvironment, missing } from "./environments.ts";

export interface McpTwin extends Fake {
  /** The settings of the jobs that were sent. */
  readonly sources: readonly Readonly<Record<string, unknown>>[];
}

export interface McpServer {
  readonly version: string;
  /** Why it cannot be started, for the name of a skipped test. */
  readonly skip?: string;
  start(): Promise<McpTwin>;
  /** Ends the process, if there is one. */
  close(): Promise<void>;
}

interface Message {
  readonly port?: number;
  readonly call?: string;
  readonly source?: Readonly<Record<string, unknown>>;
  readonly stopped?: true;
  readonly idle?: true;
}

interface Running {
  readonly child: ChildProcess;
  readonly port: number;
  readonly listeners: Set<(message: Message) => void>;
}

const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 10_000;

export function mcpServer(line: Line): McpServer {
  const environment = mcpEnvironment(line);
  const skip = missing(environment);
  let running: Promise<Running> | undefined;
  return {
    version: environment.version,
    ...(skip === undefined ? {} : { skip }),
    async start() {
      running ??= within(launch(environment.python), START_LIMIT_MS, "the twin must start");
      return openDoor(await running);
    },
    async close() {
      const { child } = (await running) ?? {};
      running = undefined;
      if (child === undefined || child.exitCode !== null) return;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
    },
  };
}

function launch(python: string): Promise<Running> {
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1" };
  const child = spawn(python, [join(import.meta.dirname, "app.py")], { stdio: "pipe", env });
  const listeners = new Set<(message: Message) => void>();
  let last = "";
  child.stderr.on("data", (chunk: Buffer) => {
    last = (last + chunk.toString()).slice(-2_000);
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the twin ended with ${code}:\n${last}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (!line.startsWith("{")) return;
      const message: Message = JSON.parse(line);
      if (message.port !== undefined) resolve({ child, port: message.port, listeners });
      for (const listener of listeners) listener(message);
    });
  });
}

async function openDoor({ child, port: target, listeners }: Running): Promise<McpTwin> {
  const sockets = new Set<Socket>();
  const door = createServer((outer) => {
    const inner = connect(target, "127.0.0.1");
    for (const socket of [outer, inner]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        sockets.delete(socket);
        outer.destroy();
        inner.destroy();
      });
    }
    outer.pipe(inner);
    inner.pipe(outer);
  });
  await new Promise<void>((ready) => door.listen(0, "127.0.0.1", ready));
  const calls: string[] = [];
  const sources: Readonly<Record<string, unknown>>[] = [];
  let stopped = false;
  let isIdle = false;
  const listen = ({ call, source, ...said }: Message): void => {
    if (call !== undefined) calls.push(`POST /mcp ${call}`);
    if (source !== undefined) sources.push(source);
    stopped ||= said.stopped === true;
    isIdle ||= said.idle === true;
  };
  listeners.add(listen);
  return {
    url: `http://127.0.0.1:${(door.address() as AddressInfo).port}`,
    calls,
    sources,
    get stopped() {
      return stopped;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((closed) => door.close(closed));
      child.stdin?.write("reset\n");
      await until(() => isIdle, STOP_LIMIT_MS, "the twin still works");
      listeners.delete(listen);
    },
  };
}
