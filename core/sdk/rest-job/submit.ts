/** Hands the work over and keeps what the server named. */
import { BackendError } from "../errors.ts";
import type { FileReference, Job } from "../job.ts";
import type { Context } from "../plugin.ts";
import { bodyOf } from "./body.ts";
import { type Kept, pathWord, readError, textOf } from "./call.ts";
import { at, factsOf, isRecord } from "./fields.ts";
import type { RestJob, Values } from "./types.ts";

/** What is known of work that the server took: JSON, for `job.step`. */
export interface Accepted {
  readonly kept: Kept;
  /** Of the answer: where the result will be, when the submission tells. */
  readonly result?: unknown;
  readonly facts: Readonly<Record<string, string | number | boolean>>;
}

const SUBMIT_MS = 60_000;
/** A synchronous server answers when the work is done. */
const WORK_MS = 3_600_000;

/** The answer of the submission, its body still to be read. */
export async function send<Config, Input>(
  spec: RestJob<Config, Input>,
  job: Job<Input>,
  { http, config }: Context<Config>,
  limits: { readonly signal?: AbortSignal; readonly isResult: boolean },
): Promise<Response> {
  const { submit } = spec;
  const values = await valuesOf(spec, job, config);
  const body = await bodyOf(submit, values);
  const timeoutMs = submit.timeoutMs ?? (limits.isResult ? WORK_MS : SUBMIT_MS);
  // What the client sends as text is JSON here.
  const headers = typeof body === "string" ? { "content-type": "application/json" } : undefined;
  const { signal } = limits;
  const options = { method: submit.method ?? "POST", body, signal, timeoutMs, headers };
  return http.fetch(submit.path, options).catch((error: unknown) => {
    throw readError(error, submit.meanings);
  });
}

/** What the server said when it took the work. */
export async function accepted<Config, Input>(
  { title, submit, result }: RestJob<Config, Input>,
  response: Response,
): Promise<Accepted> {
  const answer = parse(await textOf(response));
  const kept: Record<string, string> = {};
  const wanted = { ...submit.keep, ...(submit.id === undefined ? {} : { id: submit.id }) };
  for (const [name, path] of Object.entries(wanted)) {
    const word = pathWord(at(answer, path));
    if (word === undefined) throw unnamed(title, submit.path, path, answer);
    kept[name] = word;
  }
  const place = "field" in result && result.of === "submit" ? at(answer, result.field) : undefined;
  return { kept, result: place, facts: factsOf(answer, result.facts) };
}

/** The server's own words where it says no, else that the id is missing. */
function unnamed(title: string, call: string, path: string, answer: unknown): BackendError {
  const said = [at(answer, "$.error"), at(answer, "$.detail"), at(answer, "$.message")].find(
    (text) => typeof text === "string" && text !== "",
  );
  if (said !== undefined) {
    const message = `${title} did not take the work: ${String(said).slice(0, 500)}`;
    return new BackendError("BACKEND_FAILED", message);
  }
  const message = `${title} took the work at ${call}, but its answer has no ${path}`;
  return new BackendError("BACKEND_BAD_OUTPUT", message);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function valuesOf<Config, Input>(
  spec: RestJob<Config, Input>,
  job: Job<Input>,
  config: Config,
): Promise<Values> {
  if (spec.values !== undefined) return spec.values(job, config);
  if (!isRecord(job.input)) return {};
  const entries = Object.entries(job.input).map(
    async ([name, value]) => [name, isFile(value) ? await job.file(value) : value] as const,
  );
  return { ...Object.fromEntries(await Promise.all(entries)), job_id: job.id };
}

function isFile(value: unknown): value is FileReference {
  return isRecord(value) && typeof value.artifact_id === "string";
}
