/**
 * A bound for plugin code that may ignore its signal: the wait ends, whatever the work does.
 * `AbortSignal.timeout` would keep its timer for every call that has long been answered.
 */
import { GatewayError } from "../errors.ts";

/** Rejects with STALLED after `limitMs`; `who` begins the message. */
export async function inTime<T>(
  who: string,
  limitMs: number,
  work: (signal: AbortSignal) => T | Promise<T>,
): Promise<T> {
  const abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = new GatewayError("STALLED", `${who} did not answer within ${limitMs} ms`);
      abort.abort(error);
      reject(error);
    }, limitMs);
  });
  try {
    return await Promise.race([(async () => work(abort.signal))(), late]);
  } finally {
    clearTimeout(timer);
  }
}
