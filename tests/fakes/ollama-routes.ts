/** What the routes of the fake Ollama answer. */
import type { ServerResponse } from "node:http";
import { readBehaviour } from "switchyard/sdk/testing";
import { detailsOf, find, MODELS, runningOf, tagOf } from "./ollama-models.ts";
import type { FakeModel, Runners, Use } from "./ollama-runners.ts";
import { type Body, keepAliveMs, Refusal, sendJson, sendLines } from "./ollama-wire.ts";

export interface Exchange {
  readonly body: Body;
  readonly response: ServerResponse;
  /** Aborted when the client goes away. */
  readonly gone: AbortSignal;
  /** Breaks the connection from this side. */
  crash(): void;
}

export interface Routes {
  readonly gets: Readonly<Record<string, () => unknown>>;
  readonly posts: Readonly<Record<string, (exchange: Exchange) => Promise<void>>>;
}

type Kind = "generate" | "chat";

interface Server {
  readonly runners: Runners;
  readonly tokenMs: number;
  readonly isOld: boolean;
}

const BUSY = "server busy, please try again.  maximum pending requests exceeded";
const OUT_OF_MEMORY = "llama runner process has terminated: cudaMalloc failed: out of memory";
const JSON_TOKENS = ['{"', "signal", '": "', "grün", '"}'];
const RUNNING = "an error was encountered while running the model";
const SLOW_START_MS = 400;
/** Pieces with characters of one to four bytes, so that cutting the stream cuts characters too. */
const TOKENS = ["The ", "train ", "to ", "Zürich ", "🚂 ", "waits ", "at ", "the ", "signal. "];

export function createRoutes(runners: Runners, version: string, tokenMs: number): Routes {
  const server = { runners, tokenMs, isOld: version.startsWith("0.11.") };
  const { isOld } = server;
  return {
    gets: {
      "/api/version": () => ({ version }),
      "/api/tags": () => ({ models: MODELS.map((found) => tagOf(found, isOld)) }),
      "/api/ps": () => ({ models: runners.list().map(runningOf) }),
    },
    posts: {
      "/api/generate": (exchange) => generate(server, exchange, "generate"),
      "/api/chat": (exchange) => generate(server, exchange, "chat"),
      "/api/embed": (exchange) => embed(runners, exchange),
      "/api/show": show,
    },
  };
}

async function show({ body, response }: Exchange): Promise<void> {
  const found = find(body.model, "show");
  sendJson(response, 200, { details: detailsOf(found), capabilities: found.capabilities });
}

async function generate(
  { runners, tokenMs, isOld }: Server,
  exchange: Exchange,
  kind: Kind,
): Promise<void> {
  const { body, response, gone } = exchange;
  const found = find(body.model, kind);
  const prompt = kind === "chat" ? chatText(body.messages) : String(body.prompt ?? "");
  if (prompt === "" && keepAliveMs(body.keep_alive) === 0) {
    runners.expire(found.name);
    const answer = { model: body.model, response: "", done: true, done_reason: "unload" };
    return sendJson(response, 200, answer);
  }
  needs(found, "completion", `"${body.model}" does not support ${kind}`);
  if (body.think) needs(found, "thinking", `"${body.model}" does not support thinking`);
  const behaviour = readBehaviour(prompt);
  const use = await acquire(runners, found, body, prompt, gone);
  try {
    if (prompt === "") {
      const message = kind === "chat" ? { message: { role: "assistant", content: "" } } : {};
      const answer = { model: body.model, response: "", ...message, done: true };
      return sendJson(response, 200, { ...answer, done_reason: "load" });
    }
    const tokens = countTokens(prompt);
    if (body.truncate === false && tokens > use.numCtx && !isOld) throw tooLong(tokens, use.numCtx);
    await sendLines(response, answerLines(kind, body, prompt, use), gone, tokenMs);
    if (behaviour.hang) await until(gone);
    if (/\bcrash\b/.test(prompt)) exchange.crash();
    else response.end();
  } finally {
    use.done();
  }
}

async function embed(runners: Runners, { body, response, gone }: Exchange): Promise<void> {
  const found = find(body.model, "embed");
  const texts = [body.input].flat().map(String);
  const words = texts.join(" ");
  const behaviour = readBehaviour(words);
  const use = await acquire(runners, found, body, words, gone);
  try {
    if (behaviour.hang) await until(gone);
    if (behaviour.fail) throw new Refusal(500, "do embedding request: unexpected status 500");
    const limit = Math.min(use.numCtx, found.contextLength);
    // One text that is too long fails all of them, and the answer does not say which it was.
    if (body.truncate === false && texts.some((text) => countTokens(text) > limit)) {
      throw new Refusal(400, "the input length exceeds the context length");
    }
    const vectors = texts.map((text) => vectorOf(text, found.embeddingLength));
    const embeddings = behaviour.nullOutput ? [] : vectors;
    sendJson(response, 200, { model: body.model, embeddings, total_duration: 9_000_000 });
  } finally {
    use.done();
  }
}

async function acquire(
  runners: Runners,
  found: FakeModel,
  body: Body,
  words: string,
  signal: AbortSignal,
): Promise<Use> {
  if (/\bbusy\b/.test(words)) throw new Refusal(503, BUSY);
  const { slowStart, oom } = readBehaviour(words);
  const extraLoadMs = slowStart ? SLOW_START_MS : 0;
  const ask = { keepAliveMs: keepAliveMs(body.keep_alive), extraLoadMs, signal };
  const use = await runners.use(found, (body.options ?? {}) as Body, ask);
  if (use === undefined) throw new Refusal(503, BUSY);
  if (!oom) return use;
  runners.expireAll();
  use.done();
  throw new Refusal(500, OUT_OF_MEMORY);
}

function* answerLines(kind: Kind, body: Body, prompt: string, use: Use): Generator<unknown> {
  const behaviour = readBehaviour(prompt);
  const options = (body.options ?? {}) as Body;
  const line = (content: string, thinking?: string) => ({
    model: body.model,
    created_at: new Date().toISOString(),
    ...(kind === "chat"
      ? { message: { role: "assistant", content, thinking } }
      : { response: content, thinking }),
    done: false,
  });
  if (behaviour.nullOutput) return yield { ...line(""), done: true, done_reason: "load" };
  if (!isFormat(body.format)) return yield { error: "invalid JSON schema in format" };
  if (body.think) yield* ["Signals ", "first. "].map((thought) => line("", thought));
  const tokens = body.format === undefined ? TOKENS : JSON_TOKENS;
  const wanted = body.format === undefined ? behaviour.steps : tokens.length;
  const limit = Number(options.num_predict ?? -1);
  const isCut = limit >= 0 && limit < wanted;
  // A real server counts the token that reaches the limit, but does not send it.
  const sent = isCut ? limit - 1 : wanted;
  for (let index = 0; index < sent; index += 1) {
    yield line(tokens[index % tokens.length] ?? "");
    if (behaviour.hang || /\b(crash|no-done)\b/.test(prompt)) return;
    if (behaviour.fail) return yield { error: RUNNING };
    // What a real server said when its runner process was killed.
    if (/\brunner-died\b/.test(prompt)) return yield { error: `${RUNNING}: unexpected EOF` };
  }
  yield {
    ...line(""),
    done: true,
    done_reason: isCut ? "length" : "stop",
    ...(kind === "generate" ? { context: [269, 277, 278] } : {}),
    total_duration: use.loadNanoseconds + 11_000_000,
    load_duration: use.loadNanoseconds,
    prompt_eval_count: Math.min(countTokens(prompt), use.numCtx),
    prompt_eval_duration: 1_000_000,
    eval_count: isCut ? limit : wanted,
    eval_duration: 10_000_000,
  };
}

/** Types of JSON Schema are all that the fake looks at. */
function isFormat(format: unknown): boolean {
  if (typeof format !== "object" || format === null)
    return format === undefined || format === "json";
  const known = ["object", "array", "string", "number", "integer", "boolean", "null"];
  return !("type" in format) || known.includes(String(format.type));
}

function needs(found: FakeModel, capability: string, otherwise: string): void {
  if (!found.capabilities.includes(capability)) throw new Refusal(400, otherwise);
}

/** Newer servers pass the inner server's JSON on as text. */
function tooLong(tokens: number, numCtx: number): Refusal {
  const message =
    `request (${tokens} tokens) exceeds the available context size (${numCtx} tokens), ` +
    "try increasing it";
  return new Refusal(400, JSON.stringify({ error: { code: 400, message } }));
}

function chatText(messages: unknown): string {
  const list = Array.isArray(messages) ? (messages as Body[]) : [];
  return list.map(({ content }) => String(content ?? "")).join("\n");
}

function countTokens(text: string): number {
  return text.split(/\s+/).filter((word) => word !== "").length + 1;
}

/** A unit vector that depends on the text alone: equal texts are equal, others are not. */
function vectorOf(text: string, dimensions: number): number[] {
  let seed = [...text].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) >>> 0, 7);
  const values = Array.from({ length: dimensions }, () => {
    seed = (seed * 1_664_525 + 1_013_904_223) >>> 0;
    return seed / 2 ** 31 - 1;
  });
  const length = Math.hypot(...values);
  return values.map((value) => value / length);
}

function until(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
