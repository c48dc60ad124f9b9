/**
 * Stopping a call. What waits is taken back by leaving its stream. What runs goes on until its
 * program looks: Gradio's own cancel only gives its turn away, so that the next one would compute
 * beside it.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "../plugin.ts";
import type { Bound } from "./bind.ts";
import type { Link } from "./connect.ts";
import { plainCall } from "./payload.ts";
import { join, type Ticket } from "./queue.ts";
import type { GradioCancel } from "./types.ts";

/** How far a call is; kept up to date by whoever follows it. */
export interface CallState {
  /** Before it in the queue; undefined until the server says. */
  rank: number | undefined;
  isStarted: boolean;
  /** Settles with the first sign of work. */
  readonly started: Promise<void>;
  /** Settles when nothing more comes of it. */
  readonly over: Promise<void>;
  isOver: boolean;
}

/** A call that is next in the queue starts at once, or waits for work of somebody else. */
const START_MS = 1_000;
/** A program may clear its flag when it starts to work, after we set it. */
const AGAIN_MS = 3_000;
const TIMES = 10;

export interface Stopping {
  readonly link: Link;
  readonly ticket: Ticket;
  readonly state: CallState;
  readonly cancel: GradioCancel;
  readonly log: Logger;
  /** Leaves the stream. */
  readonly leave: () => void;
}

export async function stop(stopping: Stopping): Promise<void> {
  const { state, link, ticket, cancel, log, leave } = stopping;
  if (!state.isStarted && !state.isOver) {
    const isNext = (state.rank ?? 0) === 0;
    if (isNext) await Promise.race([state.started, state.over, pause(START_MS)]);
    if (!state.isStarted && !state.isOver) return leave();
  }
  if (state.isOver) return;
  if (cancel.kind === "interrupt") {
    await interrupt(link, ticket, cancel.endpoint);
    void repeat(stopping, cancel.endpoint);
  } else if (cancel.kind === "cancel" && link.bound.callee.isGenerator && ticket.eventId) {
    await cancelGenerator(link, link.bound, ticket);
  } else {
    log.debug("the work cannot be stopped; it is followed to its end", { event: ticket.eventId });
  }
}

/** In the session of the work, because a program may keep its flag in the State. */
async function interrupt(link: Link, { session }: Ticket, endpoint: string): Promise<void> {
  const callee = link.bound.other(endpoint);
  await join(link, callee, plainCall(callee), session);
}

async function repeat({ link, ticket, state, log }: Stopping, endpoint: string): Promise<void> {
  for (let times = 1; times < TIMES; times++) {
    await Promise.race([state.over, pause(AGAIN_MS)]);
    if (state.isOver) return;
    await interrupt(link, ticket, endpoint).catch((error: unknown) => {
      log.warn("the work was not interrupted once more", { error: String(error) });
    });
  }
}

async function cancelGenerator({ http }: Link, bound: Bound, ticket: Ticket): Promise<void> {
  const { session: session_hash, eventId: event_id } = ticket;
  const fn_index = bound.callee.fnIndex;
  await http.post(`${bound.prefix}/cancel`, { session_hash, fn_index, event_id });
}

const pause = (ms: number): Promise<void> => delay(ms, undefined, { ref: false });
