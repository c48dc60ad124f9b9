/** Brings the result home: as bytes, as parts, by the path that the server names, or in base64. */
import { Buffer } from "node:buffer";
import { BackendError } from "../errors.ts";
import type { HttpClient } from "../http.ts";
import type { Artifact, ArtifactBody, Job } from "../job.ts";
import { poll } from "../poll.ts";
import { type Kept, meaningOf, open, readError, textOf } from "./call.ts";
import { at, factsOf, isRecord } from "./fields.ts";
import { fileName, plainType } from "./files.ts";
import { partsOf } from "./multipart.ts";
import { ownPath } from "./own-path.ts";
import type { RestCall, Result } from "./types.ts";

export interface Collected {
  readonly title: string;
  readonly result: Result;
  readonly http: HttpClient;
  readonly job: Job;
  readonly kept: Kept;
  /** What was learnt before: of the submission's answer, of the status's. */
  readonly facts: Facts;
  /** Where the files are, when the submission or the status told. */
  readonly place: unknown;
  /** The status said done, so that the result cannot be far. */
  readonly isDone: boolean;
}

type Facts = Readonly<Record<string, string | number | boolean>>;

const READY_MS = 60_000;
const MAX_FACT_BYTES = 1024 * 1024;
const MAX_FILES = 20;

/** Stores every file; what is left for the job's output beside them. */
export async function collect(collected: Collected): Promise<Record<string, unknown>> {
  const { result, title } = collected;
  const stored = result.path === undefined ? await fromPlace(collected) : await fetched(collected);
  if (stored.files.length > 0) {
    return { ...collected.facts, ...stored.facts, files: stored.files.map(({ url }) => url) };
  }
  const message = `${title} reports success but its ${result.kind} result holds no file`;
  throw new BackendError("BACKEND_BAD_OUTPUT", message);
}

/** The answer to the submission is the result itself. */
export async function collectAnswer(
  collected: Collected,
  response: Response,
): Promise<Record<string, unknown>> {
  const { files, facts } = await read(collected, response);
  return { ...collected.facts, ...facts, files: files.map(({ url }) => url) };
}

interface Stored {
  readonly files: readonly Artifact[];
  readonly facts: Facts;
}

async function fetched(collected: Collected): Promise<Stored> {
  return read(collected, await whenReady(collected));
}

/** The result's answer; waits while the server says that it is not ready. */
async function whenReady({ result, http, kept, job, title, isDone }: Collected): Promise<Response> {
  const { method, path = "", meanings, readyMs = READY_MS } = result;
  const call: RestCall = { path, ...(method === undefined ? {} : { method }) };
  const beginMs = performance.now();
  const ask = async (): Promise<Response | undefined> => {
    try {
      return await open({ http, call, kept, signal: job.signal });
    } catch (error) {
      if (meaningOf(error, meanings) !== "not-ready") throw readError(error, meanings);
      job.progress(undefined);
      if (!isDone || performance.now() - beginMs < readyMs) return undefined;
      const message = `${title} says done, but its result was not there for ${readyMs} ms`;
      throw new BackendError("BACKEND_BAD_OUTPUT", message, { cause: error });
    }
  };
  return poll(ask, { signal: job.signal });
}

async function read(collected: Collected, response: Response): Promise<Stored> {
  const { result } = collected;
  if (result.kind === "bytes") return bytes(collected, response);
  if (result.kind === "multipart") return parts(collected, response, result.parts);
  const answer = parse(await textOf(response, MAX_ANSWER_BYTES), collected.title);
  const facts = factsOf(answer, result.facts);
  const place = at(answer, result.field);
  return fromPlace({ ...collected, facts: { ...collected.facts, ...facts }, place });
}

/** Base64 of a long song, at most. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

async function bytes(collected: Collected, response: Response): Promise<Stored> {
  const type = plainType(response.headers.get("content-type"));
  if (type === "text/html" || type === "application/json") {
    const text = await textOf(response).catch(() => "");
    throw notAFile(collected.title, type, text);
  }
  const mediaType = known(type) ?? collected.result.mediaType;
  return { files: [await store(collected, response, mediaType, 0)], facts: {} };
}

async function parts(collected: Collected, response: Response, wanted: string): Promise<Stored> {
  const { title, result, facts } = collected;
  const files: Artifact[] = [];
  let first: Facts | undefined;
  // Facts stand before the file that they speak of.
  let latest: Facts = {};
  for await (const { mediaType, body } of partsOf(response)) {
    if (mediaType?.startsWith(wanted) && files.length < MAX_FILES) {
      const told = { ...collected, facts: { ...facts, ...latest } };
      files.push(await store(told, body, mediaType, files.length));
    } else if (mediaType === "application/json") {
      latest = factsOf(
        parse(await textOf(new Response(body), MAX_FACT_BYTES), title),
        result.facts,
      );
      first ??= latest;
    }
  }
  return { files, facts: first ?? {} };
}

async function fromPlace(collected: Collected): Promise<Stored> {
  const { place, result } = collected;
  const places = (Array.isArray(place) ? place.flat() : [place]).filter(isText).slice(0, MAX_FILES);
  const files: Artifact[] = [];
  for (const text of places) {
    files.push(
      result.kind === "base64"
        ? await decoded(collected, text, files.length)
        : await byPath(collected, text, files.length),
    );
  }
  return { files, facts: collected.facts };
}

async function byPath(collected: Collected, text: string, index: number): Promise<Artifact> {
  const { http, job, title, result } = collected;
  const path = ownPath(text, http.baseUrl, title);
  const meanings = { 404: "failed", ...result.meanings } as const;
  const response = await http.fetch(path, { signal: job.signal }).catch((error: unknown) => {
    throw readError(error, meanings);
  });
  const type = known(plainType(response.headers.get("content-type")));
  if (type === "text/html") {
    await response.body?.cancel();
    throw notAFile(title, type, "");
  }
  return store(collected, response, type ?? result.mediaType, index, path);
}

function decoded(collected: Collected, text: string, index: number): Promise<Artifact> {
  const { title, result } = collected;
  const [, type, content = ""] = /^(?:data:([^;,]+)?;base64,)?([\s\S]*)$/.exec(text) ?? [];
  const bytes = Buffer.from(content, "base64");
  // Node skips what is no base64, so a text would become a short file of noise.
  const isBase64 = /^[\w+/=\s-]*$/.test(content.slice(0, 4_096)) && bytes.length > 0;
  if (isBase64) return store(collected, new Uint8Array(bytes), type ?? result.mediaType, index);
  const message = `${title} reports success, but what it gave is not base64`;
  throw new BackendError("BACKEND_BAD_OUTPUT", message);
}

function store(
  { job, result, facts }: Collected,
  body: ArtifactBody,
  mediaType: string | undefined,
  index: number,
  path = result.path ?? "",
): Promise<Artifact> {
  const { name = "output" } = result;
  const numbered = index === 0 ? name : `${name}-${index + 1}`;
  return job.artifact(body, {
    name: fileName(numbered, mediaType, path),
    ...(mediaType === undefined ? {} : { mediaType }),
    metadata: { ...facts },
  });
}

/** Types that say nothing are no types. */
function known(type: string | undefined): string | undefined {
  return type === "application/octet-stream" || type === "text/plain" ? undefined : type;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function parse(text: string, title: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const message = `${title} gave a result that is not JSON: ${text.slice(0, 80)}`;
    throw new BackendError("BACKEND_BAD_OUTPUT", message);
  }
}

/** JSON in place of a file mostly says what went wrong. */
function notAFile(title: string, type: string, text: string): BackendError {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = undefined;
  }
  const { error, detail, message } = isRecord(answer) ? answer : {};
  const said = [error, detail, message].find(isText);
  if (said === undefined) {
    return new BackendError("BACKEND_BAD_OUTPUT", `${title} sent ${type} in place of a file`);
  }
  const code = /out of memory/i.test(said) ? "OUT_OF_MEMORY" : "BACKEND_FAILED";
  return new BackendError(code, `${title} sent no file but says: ${said.slice(0, 500)}`);
}
