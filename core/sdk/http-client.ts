/** The HTTP client of `./http.ts`, over the platform's fetch, which may stand in no other file. */
import type { Static, TSchema, TUnknown } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { encode, readBase, resolve } from "./address.ts";
import { type BodyWatch, readText, watchBody } from "./body.ts";
import { BackendError } from "./errors.ts";
import {
  badOutput,
  notAnswered,
  redirected,
  refusedByStatus,
  stalled,
  type Target,
  unexpectedShape,
} from "./failure.ts";
import type { HttpClient, JsonOptions, RawOptions, RequestOptions } from "./http.ts";
import { openSocket } from "./socket.ts";

export interface HttpClientOptions {
  /** With or without a path prefix; a user and password become an Authorization header. */
  readonly baseUrl: string;
  /** The server's name as people write it, for messages: "ComfyUI". */
  readonly title: string;
  /** Sent with every request, for example an operator's API key for this backend. */
  readonly headers?: Readonly<Record<string, string>>;
}

const TIMEOUT_MS = 30_000;
const IDLE_TIMEOUT_MS = 60_000;
const MAX_JSON_BYTES = 8 * 1024 * 1024;
/** How much of an error's body is read, and for how long. */
const MAX_ERROR_BYTES = 64 * 1024;
/** A JSON answer of at most this many known bytes is read in one go. */
const SMALL_BYTES = 64 * 1024;
const ERROR_TIMEOUT_MS = 5_000;

const MAX_ADDRESSES = 100;
const ACCEPT_JSON = { accept: "application/json" };
const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** Bound to one backend; throws a TypeError when `baseUrl` is no http or https URL. */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const base = readBase(options.baseUrl, options.title);
  const target: Target = { title: options.title, baseUrl: base.url };
  // "identity": on a fast network compression only costs time, and it hides the true length.
  const common = merged(
    { "accept-encoding": "identity", "user-agent": "switchyard" },
    base.headers,
    options.headers,
  );
  /**
   * Addresses of the paths that were asked without a query: mostly a few, asked again and again.
   */
  const addresses = new Map<string, string>();

  function addressOf(path: string, query: RequestOptions["query"]): string {
    const known = query === undefined ? addresses.get(path) : undefined;
    if (known !== undefined) return known;
    const { href } = resolve(target, path, query);
    if (query === undefined && addresses.size < MAX_ADDRESSES) addresses.set(path, href);
    return href;
  }

  async function ask(method: string, path: string, raw: RawOptions): Promise<Answer> {
    const url = addressOf(path, raw.query);
    const { body, contentType } = encode(raw.body);
    const typed = contentType === undefined ? undefined : { "content-type": contentType };
    const headers = merged(common, typed, raw.headers);
    return exchange(target, `${method} ${path}`, url, { method, headers, body }, raw);
  }

  async function json<Schema extends TSchema>(
    method: string,
    path: string,
    { as: schema, maxBytes = MAX_JSON_BYTES, ...raw }: JsonOptions<Schema> & RawOptions,
  ): Promise<Static<Schema>> {
    const answer = await ask(method, path, { headers: ACCEPT_JSON, ...raw });
    const { timeoutMs = TIMEOUT_MS, idleTimeoutMs = IDLE_TIMEOUT_MS } = raw;
    const text = await jsonText(answer, maxBytes, timeoutMs + idleTimeoutMs);
    return parse(answer, text, schema);
  }

  return {
    baseUrl: base.url,
    get: (path, options = {}) => json("GET", path, options),
    post: (path, body, options = {}) => json(options.method ?? "POST", path, { ...options, body }),
    async fetch(path, options = {}) {
      const method = options.method ?? (options.body === undefined ? "GET" : "POST");
      const { received, watch } = await ask(method, path, options);
      const { status, statusText, headers } = received;
      return new Response(watchBody(received, watch), { status, statusText, headers });
    },
    socket(path, options = {}) {
      const url = resolve(target, path, options.query);
      url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
      const { "accept-encoding": _encoding, "user-agent": _agent, ...headers } = common;
      // Deno adds a user-agent of its own, and a strict server (aiohttp) refuses one that comes
      // twice.
      return openSocket(url, merged(headers, options.headers), target, path, options);
    },
  };
}

type HeaderRecord = Readonly<Record<string, string>>;

/** Later ones win; names are compared as HTTP does, in lower case. */
function merged(...parts: readonly (HeaderRecord | undefined)[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const part of parts) {
    for (const name in part) headers[name.toLowerCase()] = part[name] ?? "";
  }
  return headers;
}

interface Answer {
  /** A 2xx; its body is still to be read, watched or with a time of its own. */
  readonly received: Response;
  readonly watch: BodyWatch;
}

async function exchange(
  target: Target,
  call: string,
  url: string,
  request: RequestInit,
  { signal, timeoutMs = TIMEOUT_MS, idleTimeoutMs = IDLE_TIMEOUT_MS }: RequestOptions,
): Promise<Answer> {
  signal?.throwIfAborted();
  const connection = new AbortController();
  const follow = (): void => connection.abort(signal?.reason);
  signal?.addEventListener("abort", follow, { once: true });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    connection.abort();
  }, timeoutMs);
  const finish = (): void => signal?.removeEventListener("abort", follow);
  const drop = (): void => {
    finish();
    connection.abort();
  };
  try {
    // biome-ignore lint/style/noRestrictedGlobals: this is the one place where it may stand.
    const received = await fetch(url, {
      ...request,
      signal: connection.signal,
      redirect: "manual",
      credentials: "omit",
      ...ONLY_BUN,
    });
    clearTimeout(timer);
    const watch: BodyWatch = { target, call, idleTimeoutMs, signal, finish, drop };
    await refuse(received, watch);
    return { received, watch };
  } catch (cause) {
    clearTimeout(timer);
    drop();
    signal?.throwIfAborted();
    if (late) throw stalled(target, call, "did not answer", timeoutMs);
    throw BackendError.is(cause) ? cause : notAnswered(target, cause);
  }
}

/**
 * Bun ends a fetch after 5 minutes unless told not to, and a model load may take longer. It also
 * decompresses what nobody asked to be compressed, which is how 300 KB become 300 MB.
 */
const ONLY_BUN: object = { timeout: false, decompress: false };

/** Throws what the status means; a 2xx with plain bytes passes. */
async function refuse(received: Response, watch: BodyWatch): Promise<void> {
  const { target, call } = watch;
  const { status } = received;
  // A runtime that follows the standard to the letter shows a redirect as status 0.
  if (status === 0 || (status >= 300 && status < 400)) throw redirected(target, call, received);
  const encoding = received.headers.get("content-encoding") ?? "identity";
  if (!received.ok) {
    const text = encoding === "identity" ? await errorText(received, watch) : "";
    watch.signal?.throwIfAborted();
    throw refusedByStatus(target, call, received, text);
  }
  if (encoding !== "identity") {
    throw badOutput(target, call, `${encoding} bytes, although compression was declined`);
  }
}

/** The start of an error's body. That the rest is missing or late matters less than the status. */
async function errorText(received: Response, watch: BodyWatch): Promise<string> {
  const idleTimeoutMs = Math.min(watch.idleTimeoutMs, ERROR_TIMEOUT_MS);
  const reader = watchBody(received, { ...watch, idleTimeoutMs })?.getReader();
  const decoder = new TextDecoder();
  const end = performance.now() + ERROR_TIMEOUT_MS;
  let text = "";
  try {
    while (reader !== undefined && text.length < MAX_ERROR_BYTES && performance.now() < end) {
      const { done, value } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
    }
  } catch {
    // What came before the break is still the best explanation.
  }
  await reader?.cancel().catch(() => {});
  return text.slice(0, MAX_ERROR_BYTES);
}

async function jsonText(answer: Answer, maxBytes: number, limitMs: number): Promise<string> {
  const { received, watch } = answer;
  const { target, call } = watch;
  const type = received.headers.get("content-type") ?? "";
  if (/html|image\/|audio\/|video\//i.test(type)) {
    watch.drop();
    const hint = /html/i.test(type) ? "; another program may answer at this url" : "";
    throw badOutput(target, call, `${type.split(";")[0]} instead of JSON${hint}`);
  }
  const length = received.headers.get("content-length");
  if (Number(length ?? 0) > maxBytes) {
    watch.drop();
    throw badOutput(target, call, `more than ${maxBytes} bytes`);
  }
  try {
    if (length !== null && Number(length) <= SMALL_BYTES) return await smallText(answer);
    return await longText(answer, maxBytes, limitMs);
  } catch (cause) {
    if (!BackendError.is(cause) || cause.code !== "BACKEND_LOST") throw cause;
    throw badOutput(target, call, "JSON that breaks off before its end");
  }
}

/** A body of a few known bytes comes in one piece: to watch each piece would cost more than it. */
async function smallText({ received, watch }: Answer): Promise<string> {
  const { target, call, idleTimeoutMs, signal } = watch;
  let silent = false;
  const timer = setTimeout(() => {
    silent = true;
    watch.drop();
  }, idleTimeoutMs);
  try {
    const bytes = await received.arrayBuffer();
    watch.finish();
    return UTF8.decode(bytes);
  } catch (cause) {
    signal?.throwIfAborted();
    if (silent) throw stalled(target, call, "fell silent in its answer to", idleTimeoutMs);
    watch.drop();
    const notUtf8 = cause instanceof TypeError && /decod|encod|utf/i.test(cause.message);
    const what = notUtf8 ? "bytes that are not UTF-8" : "JSON that breaks off before its end";
    throw badOutput(target, call, what);
  } finally {
    clearTimeout(timer);
  }
}

/** A trickle never falls silent, so the answer as a whole has a bound as well. */
async function longText({ received, watch }: Answer, maxBytes: number, limitMs: number) {
  const { target, call } = watch;
  const whole = deadline(watch.signal, limitMs, () =>
    stalled(target, call, "did not finish its answer to", limitMs),
  );
  try {
    const body = watchBody(received, { ...watch, signal: whole.signal });
    return await readText(body, maxBytes, watch);
  } finally {
    whole.clear();
  }
}

function parse<Schema extends TSchema = TUnknown>(
  { watch }: Answer,
  text: string,
  schema: Schema | undefined,
): Static<Schema> {
  const { target, call } = watch;
  const answer: unknown = text === "" ? undefined : parseJson(text, watch);
  if (schema === undefined || Value.Check(schema, answer)) return answer;
  if (text === "") throw badOutput(target, call, "nothing");
  const first = Value.Errors(schema, answer).First();
  const mismatch = `${first?.path === "" ? "the answer" : first?.path}: ${first?.message}`;
  throw unexpectedShape(target, call, answer, mismatch);
}

function parseJson(text: string, { target, call }: BodyWatch): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const start = text.slice(0, 80).replace(/\s+/g, " ");
    throw badOutput(target, call, `something that is not JSON: ${start}`);
  }
}

/** A signal that follows the caller's and aborts by itself after `limitMs`. */
function deadline(
  outer: AbortSignal | undefined,
  limitMs: number,
  reason: () => unknown,
): { readonly signal: AbortSignal; clear(): void } {
  outer?.throwIfAborted();
  const controller = new AbortController();
  const follow = (): void => controller.abort(outer?.reason);
  outer?.addEventListener("abort", follow, { once: true });
  const timer = setTimeout(() => controller.abort(reason()), limitMs);
  const clear = (): void => {
    clearTimeout(timer);
    outer?.removeEventListener("abort", follow);
  };
  return { signal: controller.signal, clear };
}
