/**
 * A server that misbehaves in one way, over a raw socket: the faults of REL-14. Put it in front
 * of a healthy fake (`otherwise`) to break only the requests that `match` picks.
 */
import { createHash } from "node:crypto";
import { connect, createServer, type Server, type Socket } from "node:net";
import { createGzip } from "node:zlib";

export const FAULTS = [
  "hang-before-headers",
  "hang-mid-body",
  "drip",
  "reset",
  "cut-json",
  "cut-chunked",
  "short-png",
  "short-wav",
  "garbage-json",
  "html",
  "large-json",
  "gzip-bomb",
  "wrong-type",
  "redirect",
  "error-in-200",
  "silent-socket",
  "split-utf8",
  "duplicate-final",
  "not-http",
  "unauthorized",
  "busy",
  "server-error",
  "out-of-memory",
] as const;
export type Fault = (typeof FAULTS)[number];

export interface FaultOptions {
  /** Which paths (without the query) misbehave; all unless said. */
  readonly match?: (path: string, method: string) => boolean;
  /** The URL of a healthy fake that answers the other paths. */
  readonly otherwise?: string;
  /** Replaces the fault's own body, where it sends a readable one. */
  readonly body?: string;
  /** For `duplicate-final` and `split-utf8`: the media type. */
  readonly contentType?: string;
}

export interface FaultyServer {
  readonly url: string;
  /** "GET /x" of every request that misbehaved. */
  readonly calls: readonly string[];
  /** The heads of these requests, as they came. */
  readonly heads: readonly string[];
  /** What arrived at the other host to which `redirect` points; must stay empty. */
  readonly canary: readonly string[];
  stop(): Promise<void>;
}

export async function startFaultyServer(
  fault: Fault,
  options: FaultOptions = {},
): Promise<FaultyServer> {
  const calls: string[] = [];
  const heads: string[] = [];
  const canary: string[] = [];
  const trap = await listen((socket) => socket.on("data", (bytes) => canary.push(String(bytes))));
  const front = await listen(async (socket) => {
    const request = await readRequest(socket);
    if (request === undefined) return;
    const path = request.target.split("?")[0]!;
    if (options.otherwise !== undefined && !(options.match?.(path, request.method) ?? true)) {
      passThrough(socket, request, new URL(options.otherwise));
      return;
    }
    calls.push(`${request.method} ${path}`);
    heads.push(request.head);
    await misbehave(fault, socket, request, options, `http://127.0.0.1:${trap.port}`);
  });
  return {
    url: `http://127.0.0.1:${front.port}`,
    calls,
    heads,
    canary,
    stop: async () => void (await Promise.all([front.stop(), trap.stop()])),
  };
}

async function misbehave(
  fault: Fault,
  socket: Socket,
  request: Request,
  options: FaultOptions,
  elsewhere: string,
): Promise<void> {
  const json = (body: string, status = "200 OK", headers: string[] = []): void =>
    answer(socket, status, ["Content-Type: application/json", ...headers], body);
  const open = (type: string, headers: string[] = []): void =>
    void socket.write(head("200 OK", [`Content-Type: ${type}`, ...headers]));
  const type = options.contentType ?? "application/x-ndjson";
  const said = (body: string): string => options.body ?? body;
  switch (fault) {
    case "hang-before-headers":
      return;
    case "hang-mid-body":
      open("application/json", ["Content-Length: 1000"]);
      return void socket.write('{"half":');
    case "drip": {
      open("application/json", ["Content-Length: 100000"]);
      const timer = setInterval(() => socket.write(" "), 1_000);
      socket.on("close", () => clearInterval(timer));
      return void socket.write("{");
    }
    case "reset":
      return void socket.resetAndDestroy();
    case "cut-json":
      open("application/json", ["Connection: close"]);
      return void socket.end('{"models":[{"name":"a');
    case "cut-chunked":
      open(type, ["Transfer-Encoding: chunked"]);
      return void socket.end('15\r\n{"response":"begun"}\n\r\n');
    case "short-png":
      open("image/png", ["Content-Length: 4096"]);
      return void socket.end(Buffer.from("89504e470d0a1a0a0000000d49484452", "hex"));
    case "short-wav":
      open("audio/wav", ["Content-Length: 4096"]);
      return void socket.end("RIFF\x24\x10\0\0WAVEfmt ");
    case "garbage-json":
      return json(said('{"models": [}'));
    case "html":
      return answer(socket, "200 OK", ["Content-Type: text/html"], "<!doctype html><p>hello");
    case "large-json":
      return json(`{"padding":"${"x".repeat(10 * 1024 * 1024)}"}`);
    case "gzip-bomb": {
      const bytes = await gzipBomb();
      open("application/json", ["Content-Encoding: gzip", `Content-Length: ${bytes.length}`]);
      return void socket.end(bytes);
    }
    case "wrong-type":
      return answer(socket, "200 OK", ["Content-Type: image/png"], said('{"models":[]}'));
    case "redirect":
      return answer(socket, "302 Found", [`Location: ${elsewhere}/stolen`], "");
    case "error-in-200":
      return json(said('{"error":"the model exploded"}'));
    case "silent-socket":
      return void socket.write(acceptSocket(request));
    case "split-utf8":
      open(type, ["Connection: close"]);
      return await writeSplit(socket, said('{"response":"naïve 🚂"}\n{"done":true}\n'));
    case "duplicate-final":
      open(type, ["Connection: close"]);
      return void socket.end(said('{"response":"a"}\n{"done":true}\n{"done":true}\n'));
    case "not-http":
      return void socket.end("SSH-2.0-OpenSSH_9.2\r\n");
    case "unauthorized":
      return json('{"error":"bad token"}', "401 Unauthorized");
    case "busy":
      return json('{"error":"queue full"}', "503 Service Unavailable", ["Retry-After: 7"]);
    case "server-error":
      return json('{"error":"boom"}', "500 Internal Server Error");
    case "out-of-memory":
      return json(
        '{"error":"CUDA out of memory. Tried to allocate 2.00 GiB"}',
        "500 Internal Server Error",
      );
  }
}

function head(status: string, headers: readonly string[]): string {
  return `HTTP/1.1 ${status}\r\n${headers.map((line) => `${line}\r\n`).join("")}\r\n`;
}

function answer(socket: Socket, status: string, headers: string[], body: string): void {
  const length = `Content-Length: ${Buffer.byteLength(body)}`;
  socket.end(head(status, [...headers, length, "Connection: close"]) + body);
}

/** Byte by byte, so that every character of several bytes is cut. */
async function writeSplit(socket: Socket, text: string): Promise<void> {
  socket.setNoDelay(true);
  for (const byte of Buffer.from(text)) {
    if (socket.destroyed) return;
    await new Promise((written) => socket.write(Buffer.of(byte), written));
    // Gives the kernel a chance to send the byte alone.
    await new Promise((turn) => setTimeout(turn, 1));
  }
  socket.end();
}

function acceptSocket({ head: lines }: Request): string {
  const key = /^sec-websocket-key: *(.*)$/im.exec(lines)?.[1]?.trim() ?? "";
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  return head("101 Switching Protocols", [
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${accept.digest("base64")}`,
  ]);
}

let bomb: Promise<Buffer> | undefined;

/** 300 MB of zeros in about 300 KB; made once. */
function gzipBomb(): Promise<Buffer> {
  bomb ??= (async () => {
    const gzip = createGzip();
    const zeros = Buffer.alloc(1024 * 1024);
    const pieces: Buffer[] = [];
    gzip.on("data", (piece: Buffer) => pieces.push(piece));
    const ended = new Promise((done) => gzip.on("end", done));
    for (let written = 0; written < 300; written++) {
      if (!gzip.write(zeros)) await new Promise((drained) => gzip.once("drain", drained));
    }
    gzip.end();
    await ended;
    return Buffer.concat(pieces);
  })();
  return bomb;
}

interface Request {
  readonly method: string;
  readonly target: string;
  readonly head: string;
  /** Everything that was read, head included. */
  readonly bytes: Buffer;
}

/** Reads a whole request; undefined when the client goes away before its end. */
function readRequest(socket: Socket): Promise<Request | undefined> {
  let bytes = Buffer.alloc(0);
  return new Promise((done) => {
    const gone = (): void => done(undefined);
    const read = (piece: Buffer): void => {
      bytes = Buffer.concat([bytes, piece]);
      const end = bytes.indexOf("\r\n\r\n");
      if (end < 0) return;
      const text = bytes.subarray(0, end).toString("latin1");
      const length = Number(/^content-length: *(\d+)/im.exec(text)?.[1] ?? 0);
      const chunked = /^transfer-encoding: *chunked/im.test(text);
      const whole = chunked ? bytes.includes("\r\n0\r\n\r\n") : bytes.length >= end + 4 + length;
      if (!whole) return;
      socket.off("data", read);
      socket.off("close", gone);
      const [method = "", target = ""] = text.split(" ", 2);
      done({ method, target, head: text, bytes });
    };
    socket.on("data", read);
    socket.once("close", gone);
  });
}

/** One request per connection, so that the next one is judged anew. */
function passThrough(socket: Socket, { head: lines, bytes }: Request, healthy: URL): void {
  const upstream = connect(Number(healthy.port), healthy.hostname);
  const upgrade = /^upgrade:/im.test(lines);
  const kept = upgrade
    ? lines
    : `${lines.replace(/^connection:.*\r?\n?/gim, "").trimEnd()}\r\nConnection: close`;
  upstream.write(`${kept}\r\n\r\n`);
  upstream.write(bytes.subarray(bytes.indexOf("\r\n\r\n") + 4));
  upstream.once("data", (first: Buffer) => {
    // The client must know too, or it sends its next request into a connection that ends.
    const told = upgrade ? [] : [Buffer.from("\r\nConnection: close")];
    const line = first.indexOf("\r\n");
    socket.write(Buffer.concat([first.subarray(0, line), ...told, first.subarray(line)]));
    upstream.pipe(socket);
  });
  socket.pipe(upstream);
  upstream.on("error", () => socket.destroy());
  socket.on("close", () => upstream.destroy());
}

async function listen(serve: (socket: Socket) => unknown): Promise<{
  readonly port: number;
  stop(): Promise<void>;
}> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    void serve(socket);
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    port,
    stop: () =>
      new Promise<void>((done) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => done());
      }),
  };
}
