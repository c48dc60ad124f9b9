/**
 * What answers at a bare URL. Several programs share default ports, and a Gradio app slides to the
 * next free one, so this is a check of identity. Every question is bounded in time and size.
 */
import { Type as t } from "@sinclair/typebox";
import { BackendError } from "../errors.ts";
import type { HttpClient } from "../http.ts";
import { matches } from "../shape.ts";
import type { Evidence, GradioEvidence, OpenApiEvidence } from "./types.ts";

export interface Wanted {
  readonly pages: readonly string[];
  readonly sockets: readonly string[];
}

const CALL_MS = 5_000;
/** A Gradio app with many inputs describes itself in megabytes. */
const MAX_BYTES = 16 * 1024 * 1024;
const MAX_NAMES = 8;
/** Characters of a name, version or title that a message repeats. */
const MAX_NAME = 60;
/** These mean that nothing can be found out now, whatever is asked. */
const FINAL = ["BACKEND_UNREACHABLE", "BACKEND_UNAUTHORIZED", "STALLED", "BACKEND_BUSY"];

const Config = t.Object({
  version: t.String(),
  title: t.Optional(t.Union([t.String(), t.Null()])),
  api_prefix: t.Optional(t.Union([t.String(), t.Null()])),
  dependencies: t.Array(t.Object({ api_name: t.Optional(t.Unknown()) })),
});
const Info = t.Object({
  named_endpoints: t.Record(
    t.String(),
    t.Object({ parameters: t.Array(t.Object({ parameter_name: t.Optional(t.Unknown()) })) }),
  ),
});
const OpenApi = t.Object({
  openapi: t.String(),
  info: t.Optional(t.Object({ title: t.Optional(t.String()), version: t.Optional(t.String()) })),
  paths: t.Record(t.String(), t.Unknown()),
});

/** Asks in the order of what tells most; throws when the server is not there at all. */
export async function evidenceAt(
  http: HttpClient,
  { pages, sockets }: Wanted,
  signal: AbortSignal,
): Promise<Evidence> {
  const gradio = await gradioAt(http, signal);
  if (gradio !== undefined) {
    return { gradio, pages: {}, sockets: {}, summary: wordsOf({ gradio, pages: {}, sockets: {} }) };
  }
  const answered: Record<string, unknown> = {};
  for (const path of pages) {
    const answer = await jsonAt(http, path, signal);
    if (answer !== undefined) answered[path] = answer;
  }
  const openapi = await openApiAt(http, signal);
  const heard: Record<string, unknown> = {};
  for (const path of openapi === undefined ? sockets : []) {
    const message = await firstMessage(http, path, signal);
    if (message !== undefined) heard[path] = message;
  }
  const found = { pages: answered, sockets: heard, ...(openapi === undefined ? {} : { openapi }) };
  return { ...found, summary: wordsOf(found) };
}

async function gradioAt(
  http: HttpClient,
  signal: AbortSignal,
): Promise<GradioEvidence | undefined> {
  const config = await jsonAt(http, "/config", signal);
  if (!matches(Config, config)) return undefined;
  const { version, title, api_prefix, dependencies } = config;
  const info = await jsonAt(http, `${prefixOf(api_prefix)}/info`, signal);
  const endpoints = matches(Info, info)
    ? Object.entries(info.named_endpoints).map(
        ([name, { parameters }]) =>
          [name, parameters.map(({ parameter_name }) => nameIn(parameter_name))] as const,
      )
    : dependencies.flatMap(({ api_name }) =>
        typeof api_name === "string" ? [[`/${api_name.replace(/^\//, "")}`, []] as const] : [],
      );
  return {
    version,
    ...(typeof title === "string" ? { title } : {}),
    endpoints: Object.fromEntries(endpoints),
  };
}

/** What it is called there; an object would have a `toString` of the server's own. */
function nameIn(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The server's word goes into a path, so it must look like one. */
function prefixOf(prefix: string | null | undefined): string {
  return /^(\/[\w-]+)+$/.test(prefix ?? "") ? (prefix ?? "") : "";
}

async function openApiAt(
  http: HttpClient,
  signal: AbortSignal,
): Promise<OpenApiEvidence | undefined> {
  const page = await jsonAt(http, "/openapi.json", signal);
  if (!matches(OpenApi, page)) return undefined;
  const { title, version } = page.info ?? {};
  return {
    ...(title === undefined ? {} : { title }),
    ...(version === undefined ? {} : { version }),
    paths: Object.keys(page.paths),
  };
}

/** Undefined when that page is not there, or is no JSON. */
async function jsonAt(http: HttpClient, path: string, signal: AbortSignal): Promise<unknown> {
  const limits = { timeoutMs: CALL_MS, idleTimeoutMs: CALL_MS, maxBytes: MAX_BYTES };
  try {
    return await http.get(path, { signal, ...limits });
  } catch (error) {
    signal.throwIfAborted();
    if (!BackendError.is(error) || FINAL.includes(error.code)) throw error;
    return undefined;
  }
}

async function firstMessage(http: HttpClient, path: string, signal: AbortSignal): Promise<unknown> {
  try {
    const limits = { timeoutMs: CALL_MS, idleTimeoutMs: CALL_MS };
    const socket = await http.socket(path, { signal, ...limits });
    try {
      for await (const message of socket) return parse(message);
    } finally {
      await socket.close();
    }
  } catch (error) {
    signal.throwIfAborted();
    if (!BackendError.is(error)) throw error;
  }
  return undefined;
}

function parse(message: string | Uint8Array): unknown {
  const text = typeof message === "string" ? message : new TextDecoder().decode(message);
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function wordsOf({ gradio, openapi, pages, sockets }: Omit<Evidence, "summary">): string {
  if (gradio !== undefined) {
    const title = gradio.title === undefined ? "" : ` "${gradio.title.slice(0, MAX_NAME)}"`;
    return `Gradio ${gradio.version.slice(0, MAX_NAME)}${title} with ${listed(Object.keys(gradio.endpoints))}`;
  }
  const found: string[] = [];
  if (Object.keys(pages).length > 0) found.push(`JSON at ${listed(Object.keys(pages))}`);
  if (openapi !== undefined) {
    found.push(
      `the API "${openapi.title?.slice(0, MAX_NAME) ?? "without a title"}" with ${listed(openapi.paths)}`,
    );
  }
  for (const path of Object.keys(sockets)) found.push(`a WebSocket at ${path}`);
  return found.length === 0 ? "a server that shows nothing known" : found.join(", ");
}

function listed(names: readonly string[]): string {
  if (names.length === 0) return "nothing";
  const more = names.length > MAX_NAMES ? `, and ${names.length - MAX_NAMES} more` : "";
  const shown = names.slice(0, MAX_NAMES).map((name) => name.slice(0, MAX_NAME));
  return `${shown.join(", ")}${more}`;
}
