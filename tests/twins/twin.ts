/**
 * Real Gradio servers for tests: one process for each Gradio version, started when it is first
 * wanted, with every captured signature on a port of its own. A test gets a door to one of them: a
 * port that can be closed without ending the server, and what came through it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { type Fake, until, within } from "switchyard/sdk/testing";
import { environmentOf, type Major, missing } from "./environments.ts";

/** A file in tests/fixtures/gradio, without its ending: "yuegp-v3". */
export type Signature = string;

export interface Twin extends Fake {
  /** What the function behind the interface was given, by parameter name; files by name and size. */
  readonly runs: readonly Readonly<Record<string, unknown>>[];
  /** Runs that have ended, however they did. */
  readonly ended: number;
  readonly version: string;
  /** Ends what hangs; settles when nothing runs any more. */
  release(): Promise<void>;
}

/** The servers of one Gradio version. */
export interface Twins {
  readonly version: string;
  /** Why they cannot be started, for the name of a skipped test. */
  readonly skip?: string;
  /** Starts the process; a first door does it, too, but it may take longer than a test should. */
  open(): Promise<void>;
  start(signature: Signature): Promise<Twin>;
  /** Ends the process, if there is one. */
  close(): Promise<void>;
}

export interface TwinsOptions {
  /** `launch(show_error=…)`: whether the text of an exception goes to clients; true unless said. */
  readonly showError?: boolean;
}

const SIGNATURES = join(import.meta.dirname, "..", "fixtures", "gradio");
/** Three versions that start at once on two busy cores. */
export const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 10_000;

interface Message {
  readonly ready?: Readonly<Record<Signature, number>>;
  readonly app?: Signature;
  readonly call?: string;
  readonly host?: string;
  readonly run?: Readonly<Record<string, unknown>>;
  readonly ended?: true;
  readonly stopped?: string;
  readonly idle?: true;
}

interface Server {
  readonly ports: Readonly<Record<Signature, number>>;
  readonly listeners: Set<(message: Message) => void>;
  /** Ends what hangs in one app, and settles when nothing runs there any more. */
  release(signature: Signature): Promise<void>;
  close(): Promise<void>;
}

export function twinsOf(major: Major, options: TwinsOptions = {}): Twins {
  const environment = environmentOf(major);
  const { version } = environment;
  const skip = missing(environment);
  let server: Promise<Server> | undefined;

  function serverOf(): Promise<Server> {
    if (skip !== undefined) return Promise.reject(new Error(skip));
    server ??= startServer(environment.python, options).catch((error: unknown) => {
      server = undefined;
      throw error;
    });
    return server;
  }

  return {
    version,
    ...(skip === undefined ? {} : { skip }),
    open: async () => void (await serverOf()),
    start: async (signature) => openDoor(await serverOf(), signature, version),
    async close() {
      const running = server;
      server = undefined;
      await (await running)?.close();
    },
  };
}

async function startServer(python: string, { showError = true }: TwinsOptions): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-twins-"));
  const files = readdirSync(SIGNATURES).map((file) => join(SIGNATURES, file));
  const child = spawn(python, [join(import.meta.dirname, "twin.py"), ...files], {
    stdio: ["pipe", "pipe", "pipe"],
    env: {
      ...process.env,
      GRADIO_ANALYTICS_ENABLED: "False",
      GRADIO_TEMP_DIR: join(folder, "gradio"),
      HF_HUB_OFFLINE: "1",
      PYTHONDONTWRITEBYTECODE: "1",
      TMPDIR: folder,
      TWIN_SHOW_ERROR: showError ? "1" : "0",
    },
  });
  const listeners = new Set<(message: Message) => void>();
  const exited = new Promise<void>((done) => child.once("exit", () => done()));
  const close = async (): Promise<void> => {
    child.stdin.end();
    await within(exited, STOP_LIMIT_MS, "a twin must end with its input").catch(() => {
      child.kill("SIGKILL");
    });
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const ports = await within(readyPorts(child, listeners), START_LIMIT_MS, "twins must start");
    const release = (signature: Signature) => releaseIn(child, listeners, signature);
    return { ports, listeners, release, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The ports, when all apps listen; from then on everything that it says goes to the listeners. */
function readyPorts(
  child: ChildProcess,
  listeners: Set<(message: Message) => void>,
): Promise<Server["ports"]> {
  const { stdout, stderr } = child;
  if (!stdout || !stderr) throw new Error("a twin needs pipes");
  let last = "";
  stderr.on("data", (chunk: Buffer) => {
    last = (last + chunk.toString()).slice(-2_000);
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`a twin ended with ${code}:\n${last}`)));
    createInterface({ input: stdout }).on("line", (line) => {
      // Gradio 5 prints lines of its own.
      if (!line.startsWith("{")) return;
      const message: Message = JSON.parse(line);
      if (message.ready) resolve(message.ready);
      for (const listener of listeners) listener(message);
    });
  });
}

async function releaseIn(
  child: ChildProcess,
  listeners: Set<(message: Message) => void>,
  signature: Signature,
): Promise<void> {
  let isIdle = false;
  const listen = ({ app, idle }: Message): void => {
    if (app === signature && idle) isIdle = true;
  };
  listeners.add(listen);
  child.stdin?.write(`${JSON.stringify({ release: signature })}\n`);
  try {
    await until(() => isIdle, STOP_LIMIT_MS, `${signature} still works`);
  } finally {
    listeners.delete(listen);
  }
}

async function openDoor(server: Server, signature: Signature, version: string): Promise<Twin> {
  const target = server.ports[signature];
  if (target === undefined) throw new Error(`no ${signature} in ${basename(SIGNATURES)}`);
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
  const { port }: AddressInfo = door.address() as AddressInfo;
  const host = `127.0.0.1:${port}`;
  const calls: string[] = [];
  const runs: Readonly<Record<string, unknown>>[] = [];
  let ended = 0;
  let stopped = false;
  const listen = (message: Message): void => {
    if (message.app !== signature) return;
    if (message.call !== undefined && message.host === host) calls.push(message.call);
    if (message.run) runs.push(message.run);
    if (message.ended) ended += 1;
    if (message.stopped !== undefined) stopped = true;
  };
  server.listeners.add(listen);
  return {
    url: `http://${host}`,
    version,
    calls,
    runs,
    get ended() {
      return ended;
    },
    get stopped() {
      return stopped;
    },
    release: () => server.release(signature),
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((closed) => door.close(closed));
      await server.release(signature);
      server.listeners.delete(listen);
    },
  };
}
