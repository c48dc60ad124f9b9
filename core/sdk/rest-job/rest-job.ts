/**
 * The REST adapter. Work that the server gives an id for is submitted in a step and asked for by
 * that id, also after a restart of the gateway; a synchronous server's answer is the result.
 */
import { BackendError } from "../errors.ts";
import type { Job } from "../job.ts";
import type { Context, Transport } from "../plugin.ts";
import { poll } from "../poll.ts";
import { isShutdown } from "../shutdown.ts";
import { type Kept, meaningOf, open, statusOf } from "./call.ts";
import { collect, collectAnswer } from "./collect.ts";
import { at, factsOf } from "./fields.ts";
import { type Followed, follow, look } from "./follow.ts";
import { healthOf } from "./health.ts";
import { type Accepted, accepted, send } from "./submit.ts";
import type { RestCall, RestJob } from "./types.ts";

/** How long a stopped server may take, and one that nothing stops. */
const STOP_MS = 5 * 60_000;
const DRAIN_MS = 60 * 60_000;
const CALL_MS = 10_000;

/** A transport for the described server. It keeps no state: the id stands in the job's steps. */
export function restJob<Config, Input>(spec: RestJob<Config, Input>): Transport<Config, Input> {
  const isSynchronous = spec.status === undefined && spec.result.path === undefined;
  return {
    health: (ctx, signal) => healthOf(spec, ctx, signal),
    run: (job, ctx) => (isSynchronous ? runAtOnce : runById)(spec, job, ctx),
  };
}

async function runById<Config, Input>(
  spec: RestJob<Config, Input>,
  job: Job<Input>,
  ctx: Context<Config>,
): Promise<unknown> {
  const { http } = ctx;
  const { status, result, title, log } = spec;
  let kept: Kept | undefined;
  job.onCancel(async () => {
    if (kept !== undefined && !isShutdown(job.signal)) await stop(spec, ctx, kept);
  });
  try {
    const taken = await job.step("submit", async (): Promise<Accepted> => {
      // Without the job's signal: work that the server took must not become unknown.
      const response = await send(spec, job, ctx, { isResult: false });
      const taken = await accepted(spec, response);
      kept = taken.kept;
      if (job.signal.aborted && !isShutdown(job.signal)) await stop(spec, ctx, kept);
      return taken;
    });
    kept = taken.kept;
    const answer = status && (await follow({ title, status, http, kept, log }, job));
    const place =
      "field" in result && result.of !== "submit" ? at(answer, result.field) : undefined;
    const facts = { ...taken.facts, ...factsOf(answer, result.facts) };
    const known = {
      title,
      result,
      http,
      job,
      kept,
      facts,
      place: place ?? taken.result,
      isDone: status !== undefined,
    };
    const output = await collect(known);
    if (spec.remove !== undefined) await tell(ctx, spec.remove, kept);
    return output;
  } catch (error) {
    // The lease ends with this function, so it must not end before the server is idle. A gateway
    // that stops leaves the work to its successor.
    if (kept !== undefined && job.signal.aborted && !isShutdown(job.signal)) {
      await settle(spec, ctx, kept);
    }
    job.signal.throwIfAborted();
    // It says something that nobody understands, and may go on.
    if (kept !== undefined && isMismatch(error)) await stop(spec, ctx, kept);
    throw error;
  }
}

function isMismatch(error: unknown): boolean {
  return BackendError.is(error) && error.code === "BACKEND_MISMATCH";
}

/** A server that answers the submission with the result. */
async function runAtOnce<Config, Input>(
  spec: RestJob<Config, Input>,
  job: Job<Input>,
  ctx: Context<Config>,
): Promise<unknown> {
  const { result, title, submit } = spec;
  const closes = submit.stopsOnClose === true;
  if (!closes) {
    job.onCancel(async () => {
      if (!isShutdown(job.signal)) await stop(spec, ctx, {});
    });
  }
  const signal = closes ? job.signal : shutdownOf(job.signal);
  const response = await send(spec, job, ctx, { isResult: true, signal }).catch((error) => {
    job.signal.throwIfAborted();
    throw error;
  });
  if (job.signal.aborted) await response.body?.cancel();
  job.signal.throwIfAborted();
  const known = {
    ...{ title, result, http: ctx.http, job, kept: {} },
    ...{ facts: {}, place: undefined, isDone: true },
  };
  return collectAnswer(known, response);
}

/** Aborts when the gateway stops, and not for another end of the job. */
function shutdownOf(signal: AbortSignal): AbortSignal {
  const shutdown = new AbortController();
  const look = (): void => {
    if (isShutdown(signal)) shutdown.abort(signal.reason);
  };
  signal.addEventListener("abort", look, { once: true });
  look();
  return shutdown.signal;
}

async function stop<Config, Input>(
  { cancel }: RestJob<Config, Input>,
  ctx: Context<Config>,
  kept: Kept,
): Promise<void> {
  if (cancel !== undefined) await tell(ctx, cancel, kept);
}

/** Calls, and does not mind that there is nothing left to stop or to remove. */
async function tell<Config>({ http, log }: Context<Config>, call: RestCall, kept: Kept) {
  const signal = AbortSignal.timeout(CALL_MS);
  try {
    const response = await open({ http, call: { method: "POST", ...call }, kept, signal });
    await response.body?.cancel();
  } catch (error) {
    const status = statusOf(error);
    if (status === 404 || status === 409 || status === 410) return;
    log.warn("a call to stop or to remove work failed", { path: call.path, error: String(error) });
  }
}

/** Waits until the server does not work on it any more. */
async function settle<Config, Input>(
  spec: RestJob<Config, Input>,
  ctx: Context<Config>,
  kept: Kept,
): Promise<void> {
  const limitMs = spec.cancel === undefined ? DRAIN_MS : STOP_MS;
  const signal = AbortSignal.timeout(limitMs);
  const ended = async (): Promise<true | undefined> => {
    try {
      if (!(await works(spec, ctx, kept, signal))) return true;
      // A request may come too early and be lost.
      await stop(spec, ctx, kept);
    } catch (error) {
      if (BackendError.is(error) && error.code === "BACKEND_UNREACHABLE") return true;
    }
    return undefined;
  };
  await poll(ended, { signal, intervalMs: 100, maxIntervalMs: 2_000 }).catch(() => {});
  if (signal.aborted) ctx.log.warn("the server still works on what was cancelled", { limitMs });
  else if (spec.remove !== undefined) await tell(ctx, spec.remove, kept);
}

async function works<Config, Input>(
  { status, result, title, log }: RestJob<Config, Input>,
  { http }: Context<Config>,
  kept: Kept,
  signal: AbortSignal,
): Promise<boolean> {
  if (status !== undefined) {
    const followed: Followed = { title, status, http, kept, log };
    return (await look(followed, signal)).state === "running";
  }
  const call: RestCall = {
    path: result.path ?? "/",
    ...(result.method && { method: result.method }),
  };
  try {
    const response = await open({ http, call, kept, signal });
    await response.body?.cancel();
    return false;
  } catch (error) {
    return meaningOf(error, result.meanings) === "not-ready";
  }
}
