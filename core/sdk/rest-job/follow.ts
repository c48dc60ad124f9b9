/** Asks how the work is until it has ended, and says what became of it. */
import { BackendError } from "../errors.ts";
import { saysOutOfMemory } from "../failure.ts";
import type { HttpClient } from "../http.ts";
import type { Job } from "../job.ts";
import { poll } from "../poll.ts";
import { askJson, type Kept, meaningOf, readError } from "./call.ts";
import { at } from "./fields.ts";
import { reasonIn } from "./log.ts";
import type { RestCall, Status } from "./types.ts";

export interface Followed {
  readonly title: string;
  readonly status: Status;
  readonly http: HttpClient;
  readonly kept: Kept;
  readonly log: RestCall | undefined;
}

export type State = "running" | "done" | "failed" | "cancelled" | "lost";

interface Looked {
  readonly state: State;
  readonly answer: unknown;
}

/** A server that says nothing good for this long has lost the work. */
const PATIENCE_MS = 30_000;
/** These will not be better in a moment. */
const FINAL = ["BACKEND_UNAUTHORIZED", "BACKEND_MISMATCH", "BACKEND_REJECTED", "OUT_OF_MEMORY"];

/** The status's answer once the work is done; throws what else became of it. */
export async function follow(followed: Followed, job: Job): Promise<unknown> {
  const { status, title } = followed;
  const { intervalMs = 500 } = status;
  let heardMs = performance.now();
  const ask = async (): Promise<Looked | undefined> => {
    try {
      const looked = await look(followed, job.signal);
      heardMs = performance.now();
      if (looked.state === "running") return report(status, looked.answer, job);
      return looked;
    } catch (error) {
      job.signal.throwIfAborted();
      const isFinal = !BackendError.is(error) || FINAL.includes(error.code);
      if (isFinal || performance.now() - heardMs >= PATIENCE_MS) throw lost(title, error);
      return undefined;
    }
  };
  const timing = { signal: job.signal, intervalMs, maxIntervalMs: intervalMs * 4 };
  const { state, answer } = await poll(ask, timing);
  if (state === "done") return answer;
  throw await endOf(followed, state, answer, job.signal);
}

/** How the work is now. */
export async function look(followed: Followed, signal: AbortSignal): Promise<Looked> {
  const { status, http, kept, title } = followed;
  const meanings = { 404: "lost", ...status.meanings } as const;
  try {
    const answer = await askJson({ http, call: status, kept, signal });
    return { state: stateOf(status, kept, answer, title), answer };
  } catch (error) {
    const meaning = meaningOf(error, meanings);
    if (meaning === "not-ready") return { state: "running", answer: undefined };
    if (meaning === "lost" || meaning === "failed") return { state: meaning, answer: undefined };
    throw readError(error, meanings);
  }
}

function stateOf(status: Status, kept: Kept, answer: unknown, title: string): State {
  const owner = status.owner === undefined ? undefined : at(answer, status.owner);
  // It tells of other work, so ours has ended; whether well, the result must show.
  if (owner !== undefined && owner !== null && plain(owner) !== kept.id) return "done";
  const word = at(answer, status.field);
  if (word === undefined) refuseOther(answer, title);
  const said = typeof word === "object" ? JSON.stringify(word) : String(word);
  if (status.done.includes(said)) return "done";
  if (status.failed?.includes(said)) return "failed";
  if (status.cancelled?.includes(said)) return "cancelled";
  if (status.running.includes(said)) return "running";
  const shown = said.slice(0, 100);
  throw new BackendError(
    "BACKEND_MISMATCH",
    `${title} says ${status.field} = ${shown}, and nothing tells what that means; name it in status`,
  );
}

/** An answer of another kind says nothing of the work, and the next one may be right again. */
function refuseOther(answer: unknown, title: string): void {
  if (typeof answer === "string") {
    const message = `${title} answered with what is no JSON: ${answer.slice(0, 80)}`;
    throw new BackendError("BACKEND_BAD_OUTPUT", message);
  }
  const told = [at(answer, "$.error"), at(answer, "$.detail")].find((it) => typeof it === "string");
  if (typeof told !== "string" || told === "") return;
  throw new BackendError("BACKEND_FAILED", `${title} does not tell of the work: ${oneLine(told)}`);
}

/** As JSON where it is no plain value: an object may have a `toString` of the server's own. */
function plain(value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Progress, and a sign of life where the server knows no progress. */
function report({ progress, note }: Status, answer: unknown, job: Job): undefined {
  const value = progress === undefined ? undefined : Number(plain(at(answer, progress.field)));
  const part = value === undefined ? undefined : value / (progress?.end ?? 100);
  const fraction =
    part === undefined || Number.isNaN(part) ? undefined : Math.min(1, Math.max(0, part));
  const said = note === undefined ? undefined : at(answer, note);
  job.progress(fraction, typeof said === "string" ? said.slice(0, 200) : undefined);
}

async function endOf(
  { title, status, http, kept, log }: Followed,
  state: State,
  answer: unknown,
  signal: AbortSignal,
): Promise<BackendError> {
  if (state === "lost") {
    const message = `${title} no longer knows the work: it was restarted, or has forgotten it`;
    return new BackendError("BACKEND_LOST", message);
  }
  if (state === "cancelled") {
    return new BackendError("BACKEND_REJECTED", `Somebody cancelled the work in ${title} itself`);
  }
  const field = status.error === undefined ? undefined : at(answer, status.error);
  const told = typeof field === "string" && field.trim() !== "" ? oneLine(field) : undefined;
  const said = told ?? (log && (await reasonIn({ http, call: log, kept, signal })));
  if (said !== undefined && saysOutOfMemory(said)) {
    return new BackendError("OUT_OF_MEMORY", `${title} ran out of GPU memory: ${said}`);
  }
  const words = said === undefined ? "; its log may tell why" : `: ${said}`;
  return new BackendError("BACKEND_FAILED", `${title} failed at the work${words}`);
}

/** Of a Python traceback only the last line, which names the error and no path. */
export function oneLine(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const kept = text.includes("Traceback (most recent call last)") ? lines.slice(-1) : lines;
  return kept.join(" ").replace(/\s+/g, " ").trim().slice(0, 500);
}

/** A server that stopped answering in the middle of the work has lost it. */
function lost(title: string, error: unknown): unknown {
  const silent = ["BACKEND_UNREACHABLE", "BACKEND_LOST", "STALLED"];
  if (!BackendError.is(error) || !silent.includes(error.code)) return error;
  const message = `${title} stopped answering while it worked`;
  return new BackendError("BACKEND_LOST", message, { cause: error });
}
