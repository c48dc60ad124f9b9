/** What a failed attempt leads to. Pure; the table is reliability's retry taxonomy. */
import type { ErrorCode } from "../errors.ts";

export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details?: Record<string, unknown>;
  /** Milliseconds that the backend asked us to wait. */
  readonly retryAfterMs?: number;
}

export type Verdict =
  | { readonly kind: "fail" }
  | {
      readonly kind: "retry";
      readonly delayMs: number;
      /** False when the attempt did not count: the backend only said "later". */
      readonly counted: boolean;
    };

interface Rule {
  /** Executions allowed in all; the first one counts. */
  readonly attempts: number;
  /** Only where running the work twice is safe. */
  readonly needsRerun?: true;
  readonly counted?: false;
}

const RULES: Partial<Record<ErrorCode, Rule>> = {
  BACKEND_UNREACHABLE: { attempts: 6 },
  BACKEND_BUSY: { attempts: Number.POSITIVE_INFINITY, counted: false },
  STALLED: { attempts: 3, needsRerun: true },
  ATTEMPT_TIMEOUT: { attempts: 3, needsRerun: true },
  BACKEND_LOST: { attempts: 3, needsRerun: true },
  BACKEND_BAD_OUTPUT: { attempts: 2, needsRerun: true },
  BACKEND_FAILED: { attempts: 4 },
  OUT_OF_MEMORY: { attempts: 2 },
};

const FIRST_DELAY_MS = 1_000;
const LONGEST_DELAY_MS = 60_000;

/** `attempts` counts this one; `random` is 0..1 (full jitter). `rerun` says that twice is safe. */
export function judge(
  failure: Failure,
  { attempts, rerun, random }: { attempts: number; rerun: boolean; random: number },
): Verdict {
  const rule = RULES[failure.code];
  if (!rule || attempts >= rule.attempts || (rule.needsRerun && !rerun)) return { kind: "fail" };
  const ceilingMs = Math.min(FIRST_DELAY_MS * 2 ** (attempts - 1), LONGEST_DELAY_MS);
  const delayMs = Math.max(failure.retryAfterMs ?? 0, Math.round(ceilingMs * random));
  return { kind: "retry", delayMs, counted: rule.counted !== false };
}
