/** Asking again and again, with growing pauses, until there is an answer. */
import { setTimeout as delay } from "node:timers/promises";

export interface PollOptions {
  readonly signal: AbortSignal;
  /** First pause; 250 unless said. Grows by half each time. */
  readonly intervalMs?: number;
  /** Longest pause; 2,000 unless said. */
  readonly maxIntervalMs?: number;
}

/** Calls `check` until it returns something other than `undefined`; throws the signal's reason. */
export async function poll<T>(
  check: () => Promise<T | undefined>,
  { signal, intervalMs = 250, maxIntervalMs = 2_000 }: PollOptions,
): Promise<T> {
  for (let pauseMs = intervalMs; ; pauseMs = Math.min(pauseMs * 1.5, maxIntervalMs)) {
    signal.throwIfAborted();
    const result = await check();
    if (result !== undefined) return result;
    await delay(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
