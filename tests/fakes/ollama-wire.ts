/** How the fake Ollama reads requests and puts its answers on the wire. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

export type Body = Record<string, unknown>;

/** An answer of its own, instead of the one that was being made. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export async function readJson(request: IncomingMessage): Promise<Body> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  if (chunks.length === 0) throw new Refusal(400, "missing request body");
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) as Body;
  } catch {
    throw new Refusal(400, "invalid character looking for beginning of object key string");
  }
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json; charset=utf-8" }).end(text);
}

/**
 * Sends lines so that no chunk ends where a line ends: the end of one travels with the start of the
 * next, and where a line has a character of several bytes the cut goes through it.
 */
export async function sendLines(
  response: ServerResponse,
  lines: Iterable<unknown>,
  gone: AbortSignal,
  pauseMs: number,
): Promise<void> {
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  let rest = Buffer.alloc(0);
  for (const line of lines) {
    const bytes = Buffer.concat([rest, Buffer.from(`${JSON.stringify(line)}\n`)]);
    const start = bytes.findIndex((byte, index) => index > rest.length && byte >= 0xc0);
    const cut = start < 0 ? Math.ceil((rest.length + bytes.length) / 2) : start + 1;
    response.write(bytes.subarray(0, cut));
    rest = bytes.subarray(cut);
    // A pause makes each write a TCP segment of its own.
    await delay(pauseMs);
    if (gone.aborted) return;
  }
  response.write(rest);
}

/** Ollama bound to loopback refuses foreign names and foreign pages with an empty 403. */
export function isForeign({ headers }: IncomingMessage): boolean {
  const names = [`http://${headers.host ?? ""}`, headers.origin ?? "http://localhost"];
  return !names.every((name) => URL.canParse(name) && isLocal(new URL(name).hostname));
}

function isLocal(hostname: string): boolean {
  const privateIp = /^(0\.0\.0\.0|127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)/;
  return (
    /^(localhost|\[::1?\]|.*\.(local|internal|localhost))$|^$/.test(hostname) ||
    privateIp.test(hostname)
  );
}

const UNIT_MS = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Reads `keep_alive` as Go does: a number of seconds, or text that must have a unit. */
export function keepAliveMs(value: unknown): number {
  if (value === undefined || value === null) return 300_000;
  if (typeof value === "number") return value < 0 ? Number.MAX_SAFE_INTEGER : value * 1_000;
  const text = String(value);
  if (/^[-+]?0$/.test(text)) return 0;
  const parts = [...text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/g)];
  if (parts.map(([part]) => part).join("") !== text.replace(/^[-+]/, "") || parts.length === 0) {
    const fault = /\d$/.test(text) ? "missing unit in duration" : "invalid duration";
    throw new Refusal(400, `time: ${fault} "${text}"`);
  }
  const unitMs = (unit: string | undefined) => UNIT_MS[unit as keyof typeof UNIT_MS];
  const ms = parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitMs(unit), 0);
  return text.startsWith("-") && ms > 0 ? Number.MAX_SAFE_INTEGER : ms;
}
