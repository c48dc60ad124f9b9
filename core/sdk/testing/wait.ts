/** Waiting in tests: always for something, never longer than a bound. */
import { poll } from "../poll.ts";

/** The outcome of `work`, or an error that names `what` after `limitMs`. */
export async function within<T>(work: Promise<T>, limitMs: number, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until `condition` holds; fails with an error that names `what` after `limitMs`. */
export async function until(
  condition: () => boolean,
  limitMs: number,
  what: string,
): Promise<void> {
  const signal = AbortSignal.timeout(limitMs);
  await poll(async () => (condition() ? true : undefined), { signal, intervalMs: 5 }).catch(() => {
    throw new Error(`${what} within ${limitMs} ms`);
  });
}
