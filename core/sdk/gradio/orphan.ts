/**
 * Waiting for work that nobody hears of any more: its stream was lost, or the gateway that started
 * it died. Gradio has no route that tells whether a function computes. What is known of it:
 *
 * - Another `app_id` means that the program was started anew, and nobody at the port that it has
 *   ended: the work is gone.
 * - A function takes one call at a time unless the program says otherwise, and a call whose stream
 *   was lost keeps its turn until it is over. So a call WITHOUT its values waits behind it, and
 *   then fails before any code of the program runs, because the number of values is wrong. That it
 *   was answered means that the lost one is over (seen with Gradio 4.44.1, 5.49.1 and 6.31.0).
 * - Not known: the end of a call whose turn was given back by Gradio's `/cancel`, and anything of a
 *   function that takes several calls at a time or checks values before the queue. Then only a
 *   restart of the program, or the limit here, ends the wait.
 */
import { setTimeout as delay } from "node:timers/promises";
import { BackendError } from "../errors.ts";
import type { Callee } from "./callee.ts";
import { appIdOf, type Link } from "./connect.ts";
import { follow, join } from "./queue.ts";

/** Work that may still be computing. */
export interface Lost {
  readonly session: string;
  /** Of the program that it was given to. */
  readonly appId: string;
  readonly callee: Callee;
  /** Longest wait; an hour unless said. */
  readonly limitMs?: number;
}

const PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;
const LIMIT_MS = 60 * 60_000;
/** Refusals in a row until the program counts as ended. */
const GONE_AFTER = 3;

/** Settles when the work cannot be computing any more, as far as can be told. Never throws. */
export async function untilIdle(link: Link, work: Lost): Promise<void> {
  const endMs = performance.now() + (work.limitMs ?? LIMIT_MS);
  let refused = 0;
  let canAsk = work.callee.slots.length > 0 && !work.callee.isBatch;
  let pauseMs = PAUSE_MS;
  for (let asked = 1; performance.now() < endMs; asked++) {
    try {
      const now = await appIdOf(link.http, link.bound.prefix);
      refused = 0;
      if (now !== work.appId) return;
      if (canAsk) {
        const session = `${work.session}${asked}`;
        const ticket = await join(link, work.callee, [], session);
        await follow(link, ticket, AbortSignal.timeout(LIMIT_MS));
        return;
      }
    } catch (error) {
      if (codeOf(error) === "BACKEND_UNREACHABLE") refused += 1;
      if (codeOf(error) === "BACKEND_REJECTED") canAsk = false;
      if (refused >= GONE_AFTER) return;
    }
    await delay(pauseMs, undefined, { ref: false });
    pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS);
  }
}

function codeOf(error: unknown): string {
  return BackendError.is(error) ? error.code : "";
}
