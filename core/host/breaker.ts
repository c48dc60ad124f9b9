/**
 * Holds jobs back from a backend where one after the other fails though its health check is well.
 * Pure, on a monotonic clock. After a pause jobs are sent again; the first that fails then makes
 * the next pause twice as long, and one that completes ends all of it.
 */
import type { ErrorCode } from "../errors.ts";

/** What says something about the server, as far as anybody can tell, and not about the request. */
const COUNTED: ReadonlySet<ErrorCode> = new Set([
  "BACKEND_UNREACHABLE",
  "BACKEND_LOST",
  "BACKEND_BAD_OUTPUT",
  "BACKEND_FAILED",
  "STALLED",
  "ATTEMPT_TIMEOUT",
]);

const FAILURES_IN_A_ROW = 5;
const FIRST_PAUSE_MS = 10_000;
const LONGEST_PAUSE_MS = 5 * 60_000;
/** Beside the row: more than half of at least so many attempts within this time. */
const WINDOW = { ms: 30_000, attempts: 10 } as const;
/** Attempts that are remembered. */
const MAX_REMEMBERED = 200;

export interface Pause {
  /** On the monotonic clock. */
  readonly untilMs: number;
  readonly reason: string;
}

export interface Breaker {
  /** An attempt failed there; true when no job shall be sent from now on. */
  failed(code: ErrorCode, jobId: string): boolean;
  /** An attempt completed there; true when that has ended a pause. */
  worked(): boolean;
  /** Undefined when jobs are sent. */
  pause(): Pause | undefined;
}

export function createBreaker(nowMs: () => number): Breaker {
  /** Jobs whose own work failed, as the server says: their next attempts tell nothing new. */
  const blamed = new Set<string>();
  let recent: { readonly atMs: number; readonly failed: boolean }[] = [];
  let inARow = 0;
  /** Length of the last pause; 0 when something has completed since. */
  let pauseMs = 0;
  let pause: Pause | undefined;

  function remember(failed: boolean): void {
    const now = nowMs();
    recent = recent.filter(({ atMs }) => now - atMs < WINDOW.ms).slice(-MAX_REMEMBERED + 1);
    recent.push({ atMs: now, failed });
  }

  function open(why: string): true {
    pauseMs = pauseMs === 0 ? FIRST_PAUSE_MS : Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    pause = { untilMs: nowMs() + pauseMs, reason: why };
    inARow = 0;
    recent = [];
    blamed.clear();
    return true;
  }

  const isPaused = () => pause !== undefined && nowMs() < pause.untilMs;

  return {
    failed(code, jobId) {
      // What still ran when the pause began was not sent to try.
      if (!COUNTED.has(code) || isPaused()) return false;
      if (pauseMs > 0) return open(`the first job after a pause failed with ${code}`);
      if (code === "BACKEND_FAILED") {
        if (blamed.has(jobId)) return false;
        blamed.add(jobId);
      } else {
        remember(true);
      }
      inARow++;
      if (inARow >= FAILURES_IN_A_ROW) {
        return open(`${inARow} attempts in a row failed, the last with ${code}`);
      }
      const failures = recent.filter(({ failed }) => failed).length;
      if (recent.length < WINDOW.attempts || failures * 2 <= recent.length) return false;
      return open(`${failures} of ${recent.length} attempts failed, the last with ${code}`);
    },
    worked() {
      const wasPaused = isPaused();
      remember(false);
      blamed.clear();
      inARow = 0;
      pauseMs = 0;
      pause = undefined;
      return wasPaused;
    },
    pause: () => (isPaused() ? pause : undefined),
  };
}
