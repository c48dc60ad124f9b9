/** The calls of a REST job: their paths, what a status means there, and their JSON. */
import { BackendError, type BackendErrorCode } from "../errors.ts";
import type { HttpClient } from "../http.ts";
import type { Meaning, Meanings, RestCall } from "./types.ts";

/** What the server named when it took the work: its id, and what `keep` kept. */
export type Kept = Readonly<Record<string, string>>;

const CALL_MS = 30_000;
const MAX_ID = 512;

/** The path with the server's own words in it, each encoded, so that none can leave its place. */
export function pathOf({ path }: RestCall, kept: Kept): string {
  return path.replace(/\{\{\s*(\w+)\s*\}\}/g, (_place, name: string) => {
    const value = kept[name];
    if (value !== undefined) return encodeURIComponent(value);
    throw new TypeError(`the path ${path} names {{${name}}}, which the server was not asked for`);
  });
}

/** A word of the server that may stand in a path; undefined when it is none. */
export function pathWord(value: unknown): string | undefined {
  const word = typeof value === "number" ? String(value) : value;
  if (typeof word !== "string" || word === "" || word.length > MAX_ID) return undefined;
  return /^\.{1,2}$/.test(word) || !word.isWellFormed() ? undefined : word;
}

export interface Asked {
  readonly http: HttpClient;
  readonly call: RestCall;
  readonly kept: Kept;
  readonly signal: AbortSignal;
}

/** The JSON answer of a call, a plain text as a string, or undefined for an empty one. */
export async function askJson({ http, call, kept, signal }: Asked): Promise<unknown> {
  const response = await open({ http, call, kept, signal });
  const text = await textOf(response);
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function open({ http, call, kept, signal }: Asked): Promise<Response> {
  const { method = "GET" } = call;
  return http.fetch(pathOf(call, kept), { method, signal, timeoutMs: CALL_MS });
}

const MAX_JSON_BYTES = 8 * 1024 * 1024;

/** The answer's text; no page and no file passes for one. */
export async function textOf(response: Response, maxBytes = MAX_JSON_BYTES): Promise<string> {
  const type = response.headers.get("content-type") ?? "";
  const reader = response.body?.getReader();
  const fail = async (what: string): Promise<never> => {
    await reader?.cancel().catch(() => {});
    throw new BackendError("BACKEND_BAD_OUTPUT", `the server answered with ${what}`);
  };
  if (/html|audio\/|video\/|image\//i.test(type)) return fail(`${type.split(";")[0]}, not JSON`);
  const tooMuch = `more than ${maxBytes} bytes`;
  if (Number(response.headers.get("content-length") ?? 0) > maxBytes) return fail(tooMuch);
  const decoder = new TextDecoder();
  let bytes = 0;
  let text = "";
  for (;;) {
    const piece = await reader?.read();
    if (piece === undefined || piece.done) break;
    bytes += piece.value.byteLength;
    if (bytes > maxBytes) return fail(tooMuch);
    text += decoder.decode(piece.value, { stream: true });
  }
  text += decoder.decode();
  return /^\s*<(!doctype|html)/i.test(text) ? fail("an HTML page, not JSON") : text;
}

/** What the HTTP status of a failed call says at this place; undefined when nothing was declared. */
export function meaningOf(error: unknown, meanings: Meanings | undefined): Meaning | undefined {
  const status = statusOf(error);
  return status === undefined ? undefined : meanings?.[status];
}

/** The HTTP status that an error of the client came from. */
export function statusOf(error: unknown): number | undefined {
  if (!BackendError.is(error)) return undefined;
  const { status } = error.details ?? {};
  if (typeof status === "number") return status;
  const said = /\(HTTP (\d{3})\)/.exec(error.message)?.[1];
  return said === undefined ? undefined : Number(said);
}

const CODES: Readonly<Record<Exclude<Meaning, "not-ready">, BackendErrorCode>> = {
  busy: "BACKEND_BUSY",
  lost: "BACKEND_LOST",
  failed: "BACKEND_FAILED",
  rejected: "BACKEND_REJECTED",
};

/** The error as the server's description reads it; `not-ready` is for the caller. */
export function readError(error: unknown, meanings: Meanings | undefined): unknown {
  const meaning = meaningOf(error, meanings);
  if (!BackendError.is(error) || meaning === undefined || meaning === "not-ready") return error;
  const { retryAfterMs, details } = error;
  return new BackendError(CODES[meaning], error.message, { cause: error, retryAfterMs, details });
}
