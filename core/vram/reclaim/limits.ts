/** How long the reclaim ladder waits for what, and the two waits that it is made of. */

export interface ReclaimSettings {
  /** Part of the expected MiB that has to be seen to leave. */
  readonly share: number;
  /** Less than this cannot be told from what else happens on a device. */
  readonly noiseMiB: number;
  /** Pause between two looks. */
  readonly lookMs: number;
  /** How long after a verb has settled its memory may still be on its way. */
  readonly watchMs: number;
  /** A verb that seems to have freed too little gets one more look after this. */
  readonly againMs: number;
  /** Longest look; longer counts as no answer. */
  readonly measureMs: number;
  readonly freeMs: number;
  /** A backstop: stop and restart have limits of their own, which are shorter. */
  readonly processMs: number;
  /** Lies in a row after which a verb is demoted, and for how long. */
  readonly lies: number;
  readonly demotedMs: number;
}

/**
 * Share, look and watch are Ollama's, which waits the same way between unloading one model and
 * loading the next (ollama/ollama at fb30760, server/sched.go, waitForVRAMRecovery: 0.75, 250 ms,
 * 5 s; its comment there gives 0.5 to 1.5 s as the usual time). The rest is ours.
 */
export const RECLAIM_SETTINGS: ReclaimSettings = {
  share: 0.75,
  noiseMiB: 64,
  lookMs: 250,
  watchMs: 5_000,
  againMs: 1_000,
  measureMs: 5_000,
  freeMs: 30_000,
  processMs: 15 * 60_000,
  lies: 2,
  demotedMs: 30 * 60_000,
};

/** Rejects after the limit and with the signal's reason, even where the work ignores its signal. */
export async function within<T>(
  limitMs: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const cut = new AbortController();
  const ended = new Promise<never>((_, reject) => {
    cut.signal.addEventListener("abort", () => reject(cut.signal.reason), { once: true });
  });
  const abort = (): void => cut.abort(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  const late = new Error(`it did not settle within ${limitMs} ms`);
  const timer = setTimeout(() => cut.abort(late), limitMs);
  try {
    return await Promise.race([(async () => work(cut.signal))(), ended]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}

/** Settles after the pause, or earlier when the signal fires. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end, { once: true });
  });
}
