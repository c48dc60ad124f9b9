/**
 * Turns what went wrong between us and a backend into a `BackendError`. Classes come from the
 * PHASE (before the headers, a status, inside the body): Deno gives a TypeError without a code.
 */
import { BackendError, type BackendErrorCode } from "./errors.ts";

/** Who is asked, for messages. */
export interface Target {
  /** The server's name as people write it: "ComfyUI". */
  readonly title: string;
  readonly baseUrl: string;
}

/** Characters of the server's own words that a message repeats. */
const MAX_MESSAGE = 500;
/** Largest JSON answer of an error, in characters, that goes into `details`. */
const MAX_DETAILS = 64 * 1024;
/** Longest wait that a server may ask for. */
const MAX_RETRY_AFTER_MS = 3_600_000;

/** Whether a server's own words mean that GPU memory ran out. */
export function saysOutOfMemory(text: string): boolean {
  return /out of memory|OutOfMemory|CUBLAS_STATUS_ALLOC_FAILED/i.test(text);
}

/** The request never got an answer: refused, reset, unknown host, or not HTTP at all. */
export function notAnswered(target: Target, cause: unknown): BackendError {
  const text = textOf(cause);
  if (/malformed|invalid http|parse/i.test(text)) {
    return new BackendError(
      "BACKEND_MISMATCH",
      `${target.title} at ${target.baseUrl} does not answer in HTTP; is it another program?`,
      { cause },
    );
  }
  return new BackendError(
    "BACKEND_UNREACHABLE",
    `${target.title} at ${target.baseUrl} is not responding: ${connectReason(text)}`,
    { cause },
  );
}

/** Why a connection failed, in words that are the same on every runtime. */
function connectReason(text: string): string {
  if (/certificate|tls|ssl/i.test(text)) return "the TLS certificate was not accepted";
  if (/refused/i.test(text)) return "connection refused";
  if (/notfound|dns|resolve|lookup/i.test(text)) return "unknown host";
  if (/reset|closed|broken pipe|incomplete|eof/i.test(text)) return "connection reset";
  return "no connection";
}

/** The text of an error and of its causes: Deno keeps the reason two levels down. */
function textOf(cause: unknown): string {
  const parts: string[] = [];
  for (let error = cause; error instanceof Error && parts.length < 8; error = error.cause) {
    parts.push(error.message, "code" in error ? String(error.code) : "");
  }
  return parts.join(" ");
}

/** An answer with a status other than 2xx; `text` is the start of its body. */
export function refusedByStatus(
  target: Target,
  call: string,
  response: Response,
  text: string,
): BackendError {
  const { status } = response;
  const answer = parseJson(text);
  const said = messageOf(answer) ?? plainMessage(text, response.headers);
  const words = said === "" ? "" : `: ${said}`;
  const { title, baseUrl } = target;
  if (saysOutOfMemory(text)) {
    return new BackendError("OUT_OF_MEMORY", `${title} ran out of GPU memory${words}`);
  }
  const fail = (code: BackendErrorCode, did: string, retryAfterMs?: number): BackendError =>
    new BackendError(code, `${title} ${did} (HTTP ${status})${words}`, {
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      ...(code === "BACKEND_REJECTED" ? detailsOf(status, answer, text) : {}),
    });
  if (status === 401 || status === 403) {
    return fail("BACKEND_UNAUTHORIZED", `at ${baseUrl} refused our credentials for ${call}`);
  }
  if (status === 429 || status === 503) {
    const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), Date.now());
    return fail("BACKEND_BUSY", `is busy and did not take ${call}`, retryAfterMs);
  }
  if (status < 200) return fail("BACKEND_MISMATCH", `at ${baseUrl} changed protocol at ${call}`);
  if (status >= 500) return fail("BACKEND_FAILED", `failed at ${call}`);
  return fail("BACKEND_REJECTED", `refused ${call}`);
}

/** A redirect is never followed: it would carry our headers to another host. */
export function redirected(target: Target, call: string, response: Response): BackendError {
  const location = response.headers.get("location") ?? "";
  const to = URL.canParse(location, target.baseUrl) ? new URL(location, target.baseUrl) : undefined;
  return new BackendError(
    "BACKEND_MISMATCH",
    `${target.title} at ${target.baseUrl} answered ${call} with a redirect` +
      `${to === undefined ? "" : ` to ${to.origin}${to.pathname}`}, which is never followed; ` +
      "set the backend's url to the address that answers itself",
  );
}

export function stalled(target: Target, call: string, what: string, limitMs: number): BackendError {
  return new BackendError("STALLED", `${target.title} ${what} ${call} for ${limitMs} ms`);
}

export function badOutput(target: Target, call: string, what: string): BackendError {
  return new BackendError("BACKEND_BAD_OUTPUT", `${target.title} answered ${call} with ${what}`);
}

/** A 2xx of another shape than expected: the server's own error when it tells one. */
export function unexpectedShape(
  target: Target,
  call: string,
  answer: unknown,
  mismatch: string,
): BackendError {
  const said = messageOf(answer);
  if (said === undefined) return badOutput(target, call, `an unexpected shape: ${mismatch}`);
  return saysOutOfMemory(said)
    ? new BackendError("OUT_OF_MEMORY", `${target.title} ran out of GPU memory: ${said}`)
    : new BackendError("BACKEND_FAILED", `${target.title} failed at ${call}: ${said}`);
}

/** Milliseconds of a `Retry-After` in seconds or as a date; undefined when it says nothing. */
export function parseRetryAfter(value: string | null, nowMs: number): number | undefined {
  if (value === null || value.trim() === "") return undefined;
  const waitMs = /^\s*\d+\s*$/.test(value) ? Number(value) * 1000 : Date.parse(value) - nowMs;
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(waitMs, 0), MAX_RETRY_AFTER_MS);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a JSON answer says went wrong, in the places where the known servers put it. */
function messageOf(answer: unknown): string | undefined {
  if (typeof answer !== "object" || answer === null) return undefined;
  const { error, detail, message }: { error?: unknown; detail?: unknown; message?: unknown } =
    answer;
  for (const place of [error, detail, message]) {
    if (typeof place === "string" && place !== "") return shorten(place);
    if (typeof place !== "object" || place === null) continue;
    const nested = "message" in place ? place.message : undefined;
    return shorten(typeof nested === "string" ? nested : JSON.stringify(place));
  }
  return undefined;
}

function plainMessage(text: string, headers: Headers): string {
  const html = headers.get("content-type")?.includes("html") || /^\s*<(!doctype|html)/i.test(text);
  return html ? "an HTML page" : shorten(text);
}

/** One line. Of a Python traceback only the last line, which names the error and no path. */
function shorten(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const kept = text.includes("Traceback (most recent call last)") ? lines.slice(-1) : lines;
  return kept.join(" ").replace(/\s+/g, " ").trim().slice(0, MAX_MESSAGE);
}

function detailsOf(
  status: number,
  answer: unknown,
  text: string,
): { readonly details: Record<string, unknown> } {
  const small = answer !== undefined && text.length <= MAX_DETAILS;
  return { details: small ? { status, answer } : { status } };
}
