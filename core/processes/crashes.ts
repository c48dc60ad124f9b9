/** Counts failures in a window: how long to wait for the next attempt, and when it is hopeless. */

export interface CrashPolicy {
  readonly maxRestarts: number;
  readonly restartWindowMs: number;
  readonly firstBackoffMs: number;
  readonly maxBackoffMs: number;
}

export interface Crashes {
  /** Notes one; milliseconds until the next attempt, or undefined in a crash loop. */
  add(nowMs: number): number | undefined;
  forget(): void;
}

export function createCrashes(policy: CrashPolicy, random: () => number): Crashes {
  let times: number[] = [];
  return {
    add(nowMs) {
      times = [...times, nowMs].filter((time) => nowMs - time <= policy.restartWindowMs);
      if (times.length > policy.maxRestarts) return undefined;
      const fullMs = Math.min(policy.maxBackoffMs, policy.firstBackoffMs * 2 ** (times.length - 1));
      // Half of it by chance, so that backends that died together do not return together.
      return fullMs / 2 + (random() * fullMs) / 2;
    },
    forget() {
      times = [];
    },
  };
}
