/**
 * Gradio's queue: a call joins it, and one stream tells what becomes of it. The server keeps no
 * result, so who loses the stream has lost the work.
 */
import { BackendError } from "../errors.ts";
import { matches } from "../shape.ts";
import { sse } from "../sse.ts";
import type { Callee } from "./callee.ts";
import type { Link } from "./connect.ts";
import { Joined, Message } from "./wire.ts";

/** The server has nothing of the call; the cause says what happened to it. */
export class NotTaken extends Error {
  override readonly cause: BackendError;

  constructor(cause: BackendError) {
    super(cause.message);
    this.cause = cause;
  }
}

/** A call in the queue of a server. */
export interface Ticket {
  /** Names the stream, and the server's State. */
  readonly session: string;
  /** Undefined until the stream tells it, when the answer to the call was lost. */
  eventId: string | undefined;
  /** Why it is not known whether the server took the call. */
  readonly doubt?: BackendError;
}

export async function join(
  { http, bound }: Link,
  { fnIndex }: Callee,
  data: readonly unknown[],
  session: string,
  signal?: AbortSignal,
): Promise<Ticket> {
  const body = {
    data,
    fn_index: fnIndex,
    session_hash: session,
    event_data: null,
    trigger_id: null,
  };
  const options = { as: Joined, ...(signal && { signal }) };
  const { event_id } = await http.post(`${bound.prefix}/queue/join`, body, options);
  return { session, eventId: event_id };
}

const DOUBTFUL = new Set(["BACKEND_UNREACHABLE", "BACKEND_BAD_OUTPUT", "BACKEND_LOST", "STALLED"]);

/** As `join`; when its answer was lost, a ticket that the stream may turn out to know. */
export async function joinForSure(
  link: Link,
  callee: Callee,
  data: readonly unknown[],
  session: string,
): Promise<Ticket> {
  try {
    // Without a signal: a call that was taken has to be known, or it cannot be stopped.
    return await join(link, callee, data, session);
  } catch (error) {
    if (!BackendError.is(error) || !DOUBTFUL.has(error.code)) throw error;
    return { session, eventId: undefined, doubt: error };
  }
}

export interface Reporter {
  /** How many wait before it; undefined where the server does not say. */
  queued?(rank: number | undefined): void;
  started?(): void;
  progress?(message: Message): void;
  /** A sign that the server lives; it says nothing of the work. */
  heartbeat?(): void;
}

/**
 * The message with which the call ended. Throws BACKEND_LOST when the stream ends or falls silent
 * before, and BACKEND_BAD_OUTPUT when it is not to be read; the work may go on in both cases.
 */
export async function follow(
  link: Link,
  ticket: Ticket,
  signal: AbortSignal,
  report: Reporter = {},
): Promise<Message> {
  const { http, bound, title, streamIdleMs } = link;
  try {
    const response = await http.fetch(`${bound.prefix}/queue/data`, {
      query: { session_hash: ticket.session },
      headers: { accept: "text/event-stream" },
      idleTimeoutMs: streamIdleMs,
      signal,
    });
    for await (const { data } of sse(response)) {
      const message = read(data, title);
      ticket.eventId ??= message.event_id ?? undefined;
      const isOther = (message.event_id ?? ticket.eventId) !== ticket.eventId;
      if (isOther) continue;
      if (message.msg === "process_completed") return message;
      if (message.msg === "unexpected_error") throw unexpected(message, ticket, title);
      tell(message, report);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof NotTaken ? error : asLost(error, title);
  }
  throw lost(title, "its event stream ended without the result");
}

function tell(message: Message, report: Reporter): void {
  switch (message.msg) {
    case "estimation":
      report.queued?.(message.rank ?? undefined);
      break;
    case "process_starts":
    case "process_generating":
      report.started?.();
      break;
    case "progress":
      report.started?.();
      report.progress?.(message);
      break;
    case "heartbeat":
      report.heartbeat?.();
      break;
  }
}

function read(data: string, title: string): Message {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    value = undefined;
  }
  if (matches(Message, value)) return value;
  const message = `${title} sent an event that is none of Gradio's: ${data.slice(0, 80)}`;
  throw new BackendError("BACKEND_BAD_OUTPUT", message);
}

/** A session that the server does not know holds no call: then none was taken. */
function unexpected(message: Message, { doubt, eventId }: Ticket, title: string): Error {
  const why = message.message ?? "it stopped";
  const isUnknown = message.session_not_found === true || /not found/i.test(why);
  const isNone = isUnknown && doubt !== undefined && eventId === undefined;
  return isNone ? new NotTaken(doubt) : lost(title, why);
}

/** Silence, a reset and a refusal all mean that the stream is gone. */
function asLost(error: unknown, title: string): unknown {
  if (BackendError.is(error)) {
    const isKept = error.code === "BACKEND_LOST" || error.code === "BACKEND_BAD_OUTPUT";
    return isKept ? error : lost(title, error.message, error);
  }
  return lost(title, "the connection broke", error);
}

function lost(title: string, why: string, cause?: unknown): BackendError {
  const message = `the event stream of ${title} was lost, and its result with it: ${why}`;
  return new BackendError("BACKEND_LOST", message.slice(0, 600), { cause });
}
