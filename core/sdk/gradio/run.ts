/** One job on a Gradio server, from its values to its files. */
import { BackendError } from "../errors.ts";
import type { Job } from "../job.ts";
import type { Context } from "../plugin.ts";
import { failed, isArityFailure, returnedBy, store } from "./answer.ts";
import type { Callee } from "./callee.ts";
import type { Connections, Link } from "./connect.ts";
import type { OpenWork } from "./open-work.ts";
import { untilIdle } from "./orphan.ts";
import { type Payload, payload, plainCall } from "./payload.ts";
import { createProgress } from "./progress.ts";
import { follow, join, joinForSure, NotTaken, type Reporter, type Ticket } from "./queue.ts";
import { type CallState, stop } from "./stop.ts";
import type { GradioApp } from "./types.ts";
import type { Message } from "./wire.ts";

export interface RunPorts<Config, Input> {
  readonly app: GradioApp<Config, Input>;
  readonly connections: Connections<Config>;
  readonly open: OpenWork;
  /** One for each job, because the server keeps State under it; nobody may guess it. */
  readonly newSession: () => string;
}

/** How long a call is waited for that the server may never have taken. */
const DOUBT_LIMIT_MS = 30_000;

/** Settles when the server no longer computes for this job, as far as can be told. */
export async function run<Config, Input>(
  ports: RunPorts<Config, Input>,
  job: Job<Input>,
  ctx: Context<Config>,
): Promise<Record<string, unknown>> {
  const { app } = ports;
  const { link, ticket, sent } = await submit(ports, job, ctx);
  const { callee } = link.bound;
  const entry = { session: ticket.session, endpoint: callee.endpoint, appId: link.bound.appId };
  const over = await ports.open.add(entry);
  try {
    const message = await work(ports, link, ticket, job, ctx);
    job.signal.throwIfAborted();
    const returned = returnedOf(message, link);
    const said = app.failure?.(returned);
    if (said !== undefined) throw failed(said, app.title);
    const facts = { ...app.facts?.(job.input, sent) };
    const last = await collected(app, link, ticket, job.signal);
    const stored = [await store(link, app.outputs, returned, job, facts)];
    if (app.collect) stored.push(await store(link, app.collect.outputs, last, job, facts));
    const files = stored.flatMap((part) => part.files);
    const previews = stored.flatMap((part) => part.previews);
    const texts = Object.assign({}, ...stored.map((part) => part.texts));
    return { files, ...(previews.length > 0 ? { previews } : {}), ...texts, ...facts };
  } finally {
    await over();
  }
}

interface Submitted extends Pick<Payload, "sent"> {
  readonly link: Link;
  readonly ticket: Ticket;
}

/** Once more when the server turns out to be another release than the one that was looked at. */
async function submit<Config, Input>(
  ports: RunPorts<Config, Input>,
  job: Job<Input>,
  ctx: Context<Config>,
): Promise<Submitted> {
  const { app, connections } = ports;
  for (let isSecond = false; ; isSecond = true) {
    const link = await connections.open(ctx, job.signal);
    const reason = app.refuse?.(link.bound.server);
    if (reason !== undefined) throw new BackendError("BACKEND_MISMATCH", reason);
    const call = { config: ctx.config, app: link.bound.server, jobId: job.id };
    const { data, sent } = await payload(app, link, job, app.arguments(job.input, call));
    job.signal.throwIfAborted();
    const session = ports.newSession();
    try {
      const ticket = await joinForSure(link, link.bound.callee, data, session);
      return { link, ticket, sent };
    } catch (error) {
      if (isSecond || !isStale(error)) throw error;
      link.forget();
    }
  }
}

/** 404: no such function. 422: other values than it wants. */
function isStale(error: unknown): boolean {
  if (!BackendError.is(error) || error.code !== "BACKEND_REJECTED") return false;
  return error.details?.status === 404 || error.details?.status === 422;
}

/** Follows the call to its end, whatever becomes of the job meanwhile. */
async function work<Config, Input>(
  { app }: RunPorts<Config, Input>,
  link: Link,
  ticket: Ticket,
  job: Job<Input>,
  { log }: Context<Config>,
): Promise<Message> {
  const leaving = new AbortController();
  const { state, report, finish } = observed(app, job);
  const cancel = app.cancel ?? { kind: "drain" };
  job.onCancel(() =>
    stop({ link, ticket, state, cancel, log, leave: () => leaving.abort(job.signal.reason) }),
  );
  try {
    return await follow(link, ticket, leaving.signal, report);
  } catch (error) {
    // Taken back while it waited, so that it never began.
    leaving.signal.throwIfAborted();
    if (error instanceof NotTaken) throw error.cause;
    log.warn("the stream was lost; waiting until the work can no longer go on", {
      event: ticket.eventId,
      reason: error instanceof Error ? error.message : String(error),
    });
    const { appId, callee } = link.bound;
    const doubt = ticket.eventId === undefined ? ticket.doubt : undefined;
    const limit = doubt && { limitMs: DOUBT_LIMIT_MS };
    await untilIdle(link, { session: ticket.session, appId, callee, ...limit });
    job.signal.throwIfAborted();
    throw doubt ?? error;
  } finally {
    finish();
  }
}

interface Observed {
  readonly state: CallState;
  readonly report: Reporter;
  readonly finish: () => void;
}

/** Keeps the state of the call, and tells the job how far it is. */
function observed<Config, Input>(app: GradioApp<Config, Input>, job: Job<Input>): Observed {
  const started = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  const state: CallState = {
    rank: undefined,
    isStarted: false,
    started: started.promise,
    over: over.promise,
    isOver: false,
  };
  const progress = createProgress(app.stages);
  let hasBar = false;
  const report: Reporter = {
    queued(rank) {
      if (state.isStarted) return;
      state.rank = rank;
      if (rank) job.progress(undefined, `in the queue of ${app.title}, ${rank} before it`);
    },
    started() {
      if (!state.isStarted && !hasBar) job.progress(undefined, "running");
      state.isStarted = true;
      started.resolve();
    },
    progress({ progress_data }) {
      const { fraction, note } = progress(progress_data ?? []);
      hasBar ||= fraction !== undefined;
      job.progress(fraction, note);
    },
    heartbeat() {
      // A program without a bar shows no other sign of life. One with a bar may stall.
      if (!hasBar) job.progress(undefined, state.isStarted ? "running" : undefined);
    },
  };
  const finish = (): void => {
    state.isOver = true;
    over.resolve();
  };
  return { state, report, finish };
}

function returnedOf(message: Message, link: Link): unknown[] {
  try {
    return returnedBy(message, link.bound.callee, link.title);
  } catch (error) {
    if (isArityFailure(error)) link.forget();
    throw error;
  }
}

/** What a further call in the session of the work returns. */
async function collected<Config, Input>(
  app: GradioApp<Config, Input>,
  link: Link,
  { session }: Ticket,
  signal: AbortSignal,
): Promise<readonly unknown[]> {
  if (app.collect === undefined) return [];
  const callee: Callee = link.bound.other(app.collect.endpoint);
  const ticket = await join(link, callee, plainCall(callee), session, signal);
  return returnedBy(await follow(link, ticket, signal), callee, link.title);
}
