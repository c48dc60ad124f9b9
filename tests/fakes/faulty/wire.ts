/** The raw HTTP of the faulty server: reads requests, writes answers, asks the healthy one. */
import { createHash } from "node:crypto";
import { connect, createServer, type Server, type Socket } from "node:net";

export interface Request {
  readonly method: string;
  readonly target: string;
  readonly head: string;
  /** Everything that was read, head included. */
  readonly bytes: Buffer;
}

/** Reads a whole request; undefined when the client goes away before its end. */
export function readRequest(socket: Socket): Promise<Request | undefined> {
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

export function bodyOf({ bytes }: Request): string {
  return bytes.subarray(bytes.indexOf("\r\n\r\n") + 4).toString("latin1");
}

/** One request per connection, so that the next one is judged anew. */
export function passThrough(socket: Socket, { head: lines, bytes }: Request, healthy: URL): void {
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

export function healthyAnswer({ head: lines, bytes }: Request, healthy: URL): Promise<Buffer> {
  const upstream = connect(Number(healthy.port), healthy.hostname);
  const kept = lines.replace(/^connection:.*\r?\n?/gim, "").trimEnd();
  upstream.write(`${kept}\r\nConnection: close\r\n\r\n`);
  upstream.write(bytes.subarray(bytes.indexOf("\r\n\r\n") + 4));
  const pieces: Buffer[] = [];
  upstream.on("data", (piece: Buffer) => pieces.push(piece));
  return new Promise((done) => upstream.on("close", () => done(Buffer.concat(pieces))));
}

export function head(status: string, headers: readonly string[]): string {
  return `HTTP/1.1 ${status}\r\n${headers.map((line) => `${line}\r\n`).join("")}\r\n`;
}

export function answer(
  socket: Socket,
  status: string,
  headers: string[],
  body: string | Buffer,
): void {
  const length = `Content-Length: ${Buffer.byteLength(body)}`;
  const first = head(status, [...headers, length, "Connection: close"]);
  socket.end(typeof body === "string" ? first + body : Buffer.concat([Buffer.from(first), body]));
}

export function acceptSocket({ head: lines }: Request): string {
  const key = /^sec-websocket-key: *(.*)$/im.exec(lines)?.[1]?.trim() ?? "";
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  return head("101 Switching Protocols", [
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${accept.digest("base64")}`,
  ]);
}

/** Of a text message; its length may take 64 bits. */
export function frameHead(bytes: number): string {
  const head = Buffer.alloc(bytes < 126 ? 2 : 10);
  head[0] = 0x81;
  head[1] = bytes < 126 ? bytes : 127;
  if (bytes >= 126) head.writeBigUInt64BE(BigInt(bytes), 2);
  return head.toString("latin1");
}

export async function listen(serve: (socket: Socket) => unknown): Promise<{
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
