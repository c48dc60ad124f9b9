/** The backend WebSocket: messages in order, bounded, and ended by whoever ends it. */
import { afterEach, expect, test } from "bun:test";
import type { ServerWebSocket } from "bun";
import { BackendError } from "switchyard/sdk";
import { until } from "switchyard/sdk/testing";
import { createHttpClient } from "../../../core/sdk/http-client.ts";
import { startFaultyServer } from "../../fakes/faulty-server.ts";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

interface Visit {
  readonly query: string;
  readonly headers: Headers;
}

function serve(greet: (socket: ServerWebSocket<Visit>) => void = () => {}) {
  const got: (string | Buffer)[] = [];
  const visits: Visit[] = [];
  const closed: number[] = [];
  const pongs: number[] = [];
  const sockets: ServerWebSocket<Visit>[] = [];
  const server = Bun.serve<Visit>({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request, self) {
      const data = { query: new URL(request.url).search, headers: request.headers };
      if (!new URL(request.url).pathname.endsWith("/ws"))
        return new Response("no", { status: 404 });
      return self.upgrade(request, { data }) ? undefined : new Response("no", { status: 400 });
    },
    websocket: {
      open(socket) {
        visits.push(socket.data);
        sockets.push(socket);
        greet(socket);
      },
      message: (_socket, message) => void got.push(message),
      pong: () => void pongs.push(performance.now()),
      close: (_socket, code) => void closed.push(code),
      backpressureLimit: 64 * 1024 * 1024,
    },
  });
  stops.push(() => server.stop(true));
  const baseUrl = `http://127.0.0.1:${server.port}/prefix`;
  const http = createHttpClient({ baseUrl, title: "ComfyUI", headers: { "x-api-key": "k" } });
  return { http, got, visits, closed, pongs, sockets };
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => "no failure",
    (thrown: unknown) => thrown,
  );
  return BackendError.is(error) ? error.code : String(error);
}

test("text and bytes arrive in order, and the iteration ends with the socket", async () => {
  const { http, visits } = serve((socket) => {
    socket.send("one");
    socket.send(new Uint8Array([1, 2]));
    socket.send("three");
    socket.close(1000);
  });
  const socket = await http.socket("/ws", { query: { clientId: "a b" } });
  const messages: unknown[] = [];
  for await (const message of socket) messages.push(message);
  expect(messages).toEqual(["one", new Uint8Array([1, 2]), "three"]);
  expect(visits[0]?.query).toBe("?clientId=a+b");
  expect(visits[0]?.headers.get("x-api-key")).toBe("k");
  expect(visits[0]?.headers.get("origin")).toBeNull();
  await socket.close();
});

test("what is sent arrives; after the close sending is BACKEND_LOST", async () => {
  const { http, got, closed } = serve();
  const socket = await http.socket("/ws");
  socket.send("hello");
  socket.send(new Uint8Array([7]));
  await until(() => got.length === 2, 5_000, "both messages must arrive");
  expect(got.map(String)).toEqual(["hello", "\u0007"]);
  await socket.close();
  await until(() => closed.length === 1, 5_000, "the server must see the close");
  expect(await codeOf(Promise.resolve().then(() => socket.send("late")))).toBe("BACKEND_LOST");
});

test("a cut connection ends the iteration", async () => {
  const { http, sockets } = serve();
  const socket = await http.socket("/ws");
  const all = Array.fromAsync(socket);
  sockets[0]?.terminate();
  expect(await all).toEqual([]);
});

test("the signal ends the iteration with its reason and closes the socket", async () => {
  const { http, closed } = serve();
  const abort = new AbortController();
  const socket = await http.socket("/ws", { signal: abort.signal });
  const reading = Array.fromAsync(socket).catch((error: unknown) => error);
  const reason = new Error("cancelled");
  abort.abort(reason);
  expect(await reading).toBe(reason);
  await until(() => closed.length === 1, 5_000, "the server must see the close");
});

test("a signal that is aborted already opens nothing", async () => {
  const { http, visits } = serve();
  const reason = new Error("cancelled");
  const opening = http.socket("/ws", { signal: AbortSignal.abort(reason) });
  expect(await opening.catch((error: unknown) => error)).toBe(reason);
  expect(visits).toEqual([]);
});

for (const [limit, count, bytes, most] of [
  ["1,024 messages", 3_000, 10, 1_024],
  ["32 MiB", 40, 1024 * 1024, 33],
] as const) {
  test(`a reader that is more than ${limit} behind loses the oldest ones`, async () => {
    const { http, pongs, sockets } = serve((socket) => {
      for (let index = 0; index < count; index++) socket.send(`${index}`.padEnd(bytes));
      socket.send("last");
      socket.ping();
    });
    const socket = await http.socket("/ws");
    // The client answers the ping after it has taken in what came before.
    await until(() => pongs.length === 1, 10_000, "the ping must be answered");
    sockets[0]?.close(1000);
    const kept = (await Array.fromAsync(socket)).map((message) => String(message).trim());
    expect(kept.length).toBeLessThanOrEqual(most);
    expect(kept.length).toBeGreaterThan(most / 2);
    expect(kept.slice(-2)).toEqual([`${count - 1}`, "last"]);
  });
}

test("silence ends in STALLED only where a limit was given", async () => {
  const server = await startFaultyServer("silent-socket");
  stops.push(server.stop);
  const http = createHttpClient({ baseUrl: server.url, title: "ComfyUI" });
  const limited = await http.socket("/ws", { idleTimeoutMs: 100 });
  expect(await codeOf(Array.fromAsync(limited))).toBe("STALLED");
  const startedMs = performance.now();
  await limited.close();
  expect(performance.now() - startedMs).toBeLessThan(3_000);
});

test("a handshake that fails has the class of its reason", async () => {
  for (const [fault, code] of [
    ["hang-before-headers", "STALLED"],
    ["reset", "BACKEND_UNREACHABLE"],
    ["html", "BACKEND_MISMATCH"],
    ["redirect", "BACKEND_MISMATCH"],
    ["unauthorized", "BACKEND_UNAUTHORIZED"],
  ] as const) {
    const server = await startFaultyServer(fault);
    stops.push(server.stop);
    const http = createHttpClient({ baseUrl: server.url, title: "ComfyUI" });
    expect(await codeOf(http.socket("/ws", { timeoutMs: 200 }))).toBe(code);
    expect(server.canary).toEqual([]);
  }
  const nobody = createHttpClient({ baseUrl: "http://127.0.0.1:9", title: "ComfyUI" });
  expect(await codeOf(nobody.socket("/ws"))).toBe("BACKEND_UNREACHABLE");
});
