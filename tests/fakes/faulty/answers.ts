/** The faults of REL-14, each as what it does to one request. */
import type { Socket } from "node:net";
import { createGzip } from "node:zlib";
import { acceptSocket, answer, frameHead, head, healthyAnswer, type Request } from "./wire.ts";

export const FAULTS = [
  "hang-before-headers",
  "hang-mid-body",
  "drip",
  "reset",
  "cut-json",
  "cut-chunked",
  "short-png",
  "short-wav",
  "cut-wav",
  "cut-mp4",
  "empty",
  "cut-answer",
  "split-answer",
  "half-answer",
  "drip-answer",
  "silent-stream",
  "empty-stream",
  "cut-event",
  "garbage-event",
  "long-event",
  "final-event-twice",
  "garbage-json",
  "html",
  "large-json",
  "gzip-bomb",
  "wrong-type",
  "redirect",
  "error-in-200",
  "silent-socket",
  "cut-socket",
  "garbage-socket",
  "long-socket",
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
  /** Which requests misbehave; all unless said. */
  readonly match?: (path: string, method: string, body: string, query: string) => boolean;
  /** The URL of a healthy fake that answers the other paths. */
  readonly otherwise?: string;
  /** Replaces the fault's own body, where it sends a readable one. */
  readonly body?: string;
  /** For `duplicate-final` and `split-utf8`: the media type. */
  readonly contentType?: string;
}

export async function misbehave(
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
    case "drip":
      open("application/json", ["Content-Length: 100000"]);
      return drip(socket, Buffer.from("{".padEnd(1_000)));
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
    case "cut-wav":
      return answer(socket, "200 OK", ["Content-Type: audio/wav"], CUT_WAV);
    case "cut-mp4":
      return answer(socket, "200 OK", ["Content-Type: video/mp4"], CUT_MP4);
    case "empty":
      return answer(socket, "200 OK", ["Content-Type: application/octet-stream"], "");
    case "cut-answer":
    case "split-answer":
    case "half-answer":
    case "drip-answer":
    case "final-event-twice":
      return await changed(fault, socket, request, new URL(options.otherwise ?? ""));
    case "silent-stream":
      return open("text/event-stream");
    case "empty-stream":
      open("text/event-stream", ["Connection: close"]);
      return void socket.end();
    case "cut-event":
      open("text/event-stream", ["Connection: close"]);
      return void socket.end('data: {"msg": "process_comp');
    case "garbage-event":
      open("text/event-stream", ["Connection: close"]);
      return void socket.write('data: {"msg": }\n\n');
    case "long-event":
      open("text/event-stream", ["Connection: close"]);
      return await flood(socket, "data: ");
    case "cut-socket":
      socket.write(acceptSocket(request));
      return void socket.resetAndDestroy();
    case "garbage-socket":
      socket.write(acceptSocket(request));
      return void socket.write(`${frameHead(12)}{"half": "of`, "latin1");
    case "long-socket":
      socket.write(acceptSocket(request));
      return await flood(socket, frameHead(FLOOD_BYTES));
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

/** What the healthy server answers, as a bad connection or a bad server would bring it. */
async function changed(
  fault: Fault,
  socket: Socket,
  request: Request,
  healthy: URL,
): Promise<void> {
  const whole = await healthyAnswer(request, healthy);
  const start = whole.indexOf("\r\n\r\n") + 4;
  const body = whole.subarray(start);
  socket.write(whole.subarray(0, start));
  if (fault === "drip-answer") return drip(socket, body);
  if (fault === "half-answer") return void socket.write(body.subarray(0, body.length / 2));
  if (fault === "cut-answer") return void socket.end(body.subarray(0, body.length / 2));
  if (fault === "final-event-twice") {
    const last = /data: [^\n]*process_completed[^\n]*\n\n/.exec(body.toString())?.[0] ?? "";
    return void socket.end(Buffer.concat([body, Buffer.from(last)]));
  }
  socket.setNoDelay(true);
  let sent = 0;
  for (let at = 1; at < body.length; at++) {
    // Inside of a character of several bytes, and at a few other places.
    const isInside = ((body[at] ?? 0) & 0xc0) === 0x80 || at % 4_096 === 1;
    if (!isInside) continue;
    await new Promise((written) => socket.write(body.subarray(sent, at), written));
    await new Promise((turn) => setTimeout(turn, 1));
    sent = at;
  }
  socket.end(body.subarray(sent));
}

/** A byte a second, the first at once. */
function drip(socket: Socket, body: Buffer): void {
  let sent = 0;
  const next = (): void => void socket.write(body.subarray(sent, ++sent));
  const timer = setInterval(next, 1_000);
  socket.on("close", () => clearInterval(timer));
  next();
}

const FLOOD_BYTES = 64 * 1024 * 1024;
const RIFF = Buffer.from(
  "524946462410000057415645666d74201000000001000100401f0000803e0000020010006461746100100000",
  "hex",
);
/** Its headers tell of 4 KB of sound, of which four samples came. */
const CUT_WAV = Buffer.concat([RIFF, Buffer.alloc(8)]);
/** The box that holds the picture says 64 KB, and nothing tells where in it anything is. */
const CUT_MP4 = Buffer.from(
  "0000001866747970697366d6000002006973f66d6d70343100010000" + "6d646174",
  "hex",
);

/** 64 MB as fast as they are taken. */
async function flood(socket: Socket, start: string): Promise<void> {
  const piece = Buffer.alloc(256 * 1024, "x");
  socket.write(start, "latin1");
  for (let sent = 0; sent < FLOOD_BYTES && !socket.destroyed; sent += piece.length) {
    const gone = new Promise((done) => socket.once("close", done));
    if (!socket.write(piece)) {
      await Promise.race([gone, new Promise((drained) => socket.once("drain", drained))]);
    }
  }
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
