/** HTTP as bytes on a TCP connection, for requests that no client library would send. */
import { connect } from "node:net";

export interface RawAnswer {
  /** 0 when the connection was closed without an answer. */
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

const LIMIT_MS = 10_000;

/** Sends the bytes and reads one answer. */
export function sendRaw(url: string, request: string): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname.replace(/^\[|\]$/g, ""));
    let received = Buffer.alloc(0);
    const bodiless = request.startsWith("HEAD ");
    const settle = (answer: RawAnswer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(LIMIT_MS, () => {
      socket.destroy();
      reject(new Error(`no answer within ${LIMIT_MS} ms to ${request.slice(0, 200)}`));
    });
    socket.on("connect", () => socket.write(Buffer.from(request, "latin1")));
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      const answer = parse(received, bodiless);
      if (answer) settle(answer);
    });
    socket.on("close", () => settle(parse(received, true) ?? NOTHING));
    // A reset after the answer is no failure; without one, `close` says so.
    socket.on("error", () => {});
  });
}

/** The lines of a request, with an empty body. */
export function requestText(method: string, target: string, headers: readonly string[]): string {
  return [`${method} ${target} HTTP/1.1`, ...headers, "Connection: close", "", ""].join("\r\n");
}

/** Asks for a WebSocket and returns the answer to the handshake. */
export function handshake(
  url: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<RawAnswer> {
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: ${new URL(url).host}`,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  return sendRaw(url, `${lines.join("\r\n")}\r\n\r\n`);
}

const NOTHING: RawAnswer = { status: 0, headers: new Headers(), body: "" };

/** `ended`: whatever has come of the body by now is all of it. */
function parse(bytes: Buffer, ended: boolean): RawAnswer | undefined {
  const text = bytes.toString("latin1");
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [first = "", ...lines] = text.slice(0, end).split("\r\n");
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  const status = Number(first.split(" ")[1]);
  const rest = text.slice(end + 4);
  if (status === 101) return { status, headers, body: "" };
  const length = headers.get("content-length");
  if (length !== null && rest.length >= Number(length)) {
    return { status, headers, body: rest.slice(0, Number(length)) };
  }
  const isChunked = headers.get("transfer-encoding") === "chunked";
  if (isChunked && rest.endsWith("0\r\n\r\n")) return { status, headers, body: unchunked(rest) };
  return ended ? { status, headers, body: rest } : undefined;
}

function unchunked(text: string): string {
  let body = "";
  for (let at = 0; ; ) {
    const lineEnd = text.indexOf("\r\n", at);
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    if (!(size > 0)) return body;
    body += text.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}
