/**
 * A stand-in for Ollama. Words in the prompt steer it: those of every fake (`steps=N`, `fail`,
 * `oom`, `hang`, `null-output`, `slow-start`) and its own: `busy` (503), `no-done` (the stream ends
 * early), `crash` (the connection breaks), `runner-died` (the process that computes was killed).
 * With `memory` its models take room on a simulated device.
 * What it does was compared with a real server by tests/plugins/ollama-live.test.ts.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Fake } from "switchyard/sdk/testing";
import { createRoutes, type Routes } from "./ollama-routes.ts";
import { createRunners, type RunnerOptions } from "./ollama-runners.ts";
import { type Body, isForeign, Refusal, readJson, sendJson } from "./ollama-wire.ts";

export interface FakeOllamaOptions extends Partial<RunnerOptions> {
  /** 0, any free port, unless said. */
  readonly port?: number;
  /** Milliseconds between two tokens; 1 unless said. */
  readonly tokenMs?: number;
  /** 0.33.0 unless said; with 0.11 it lists less and does not know `truncate`, as the real one. */
  readonly version?: string;
}

export interface FakeOllama extends Fake {
  readonly loads: number;
  /** Loads that a changed option forced. */
  readonly reloads: number;
  readonly unloads: number;
  /** Connections that the client closed before the answer was complete. */
  readonly cancelled: number;
  /** The JSON bodies of all requests, in order. */
  readonly bodies: readonly Body[];
}

interface Seen {
  readonly calls: string[];
  readonly bodies: Body[];
  cancelled: number;
}

export async function startFakeOllama(options: FakeOllamaOptions = {}): Promise<FakeOllama> {
  const { port = 0, version = "0.33.0", tokenMs = 1, ...limits } = options;
  const defaults = { loadMs: 5, lingerMs: 60, vramMiB: 24_576, maxQueue: 512 };
  const runners = createRunners({ ...defaults, ...limits });
  const seen: Seen = { calls: [], bodies: [], cancelled: 0 };
  const routes = createRoutes(runners, version, tokenMs);
  const server = createServer((request, response) => void answer(request, response, routes, seen));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls: seen.calls,
    bodies: seen.bodies,
    get stopped() {
      return seen.cancelled > 0;
    },
    get cancelled() {
      return seen.cancelled;
    },
    get loads() {
      return runners.counts.loads;
    },
    get reloads() {
      return runners.counts.reloads;
    },
    get unloads() {
      return runners.counts.unloads;
    },
    async stop() {
      runners.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { gets, posts }: Routes,
  seen: Seen,
): Promise<void> {
  const { method } = request;
  const path = new URL(request.url ?? "/", "http://localhost").pathname;
  seen.calls.push(`${method} ${path}`);
  const gone = new AbortController();
  let crashed = false;
  response.on("close", () => {
    if (!response.writableEnded && !crashed) seen.cancelled += 1;
    gone.abort();
  });
  const crash = (): void => {
    crashed = true;
    response.destroy();
  };
  try {
    if (isForeign(request)) return void response.writeHead(403).end();
    if (method === "GET" && path === "/") return void response.end("Ollama is running");
    const get = method === "GET" ? gets[path] : undefined;
    if (get !== undefined) return sendJson(response, 200, get());
    const post = method === "POST" ? posts[path] : undefined;
    if (post === undefined) return void response.writeHead(404).end("404 page not found");
    const body = await readJson(request);
    seen.bodies.push(body);
    await post({ body, response, gone: gone.signal, crash });
  } catch (error) {
    if (gone.signal.aborted) return;
    const text = error instanceof Error ? error.message : String(error);
    sendJson(response, error instanceof Refusal ? error.status : 500, { error: text });
  }
}
