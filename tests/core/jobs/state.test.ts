/** The state machine and the retry taxonomy, as tables. */
import { describe, expect, test } from "bun:test";
import { CATALOGUE, type ErrorCode } from "../../../core/errors.ts";
import { judge } from "../../../core/jobs/retry.ts";
import { isTerminal, mayMove, STATUSES } from "../../../core/jobs/state.ts";

describe("the state machine", () => {
  const allowed = [
    "pending running",
    "pending failed",
    "pending cancelled",
    "running pending",
    "running completed",
    "running failed",
    "running cancelled",
  ];
  for (const from of STATUSES) {
    for (const to of STATUSES) {
      const may = allowed.includes(`${from} ${to}`);
      test(`${from} ${may ? "may" : "never does"} become ${to}`, () => {
        expect(mayMove(from, to)).toBe(may);
      });
    }
  }

  test("completed, failed and cancelled are final, the others are not", () => {
    expect(STATUSES.filter(isTerminal)).toEqual(["completed", "failed", "cancelled"]);
  });
});

describe("the retry taxonomy", () => {
  /** Executions in all: when twice is safe, and when it is not. */
  const table: Partial<Record<ErrorCode, readonly [number, number]>> = {
    BACKEND_UNREACHABLE: [6, 6],
    STALLED: [3, 1],
    ATTEMPT_TIMEOUT: [3, 1],
    BACKEND_LOST: [3, 1],
    BACKEND_BAD_OUTPUT: [2, 1],
    BACKEND_FAILED: [4, 4],
    OUT_OF_MEMORY: [2, 2],
  };
  const executions = (code: ErrorCode, rerun: boolean) => {
    let attempts = 1;
    while (judge({ code, message: "" }, { attempts, rerun, random: 0 }).kind === "retry")
      attempts++;
    return attempts;
  };
  for (const code of Object.keys(CATALOGUE) as ErrorCode[]) {
    if (code === "BACKEND_BUSY") continue;
    const [safe, unsafe] = table[code] ?? [1, 1];
    test(`${code}: ${safe} executions, ${unsafe} where a re-run is not safe`, () => {
      expect(executions(code, true)).toBe(safe);
      expect(executions(code, false)).toBe(unsafe);
    });
  }

  test("a busy backend is asked for ever, and its answers are no attempts", () => {
    const busy = { code: "BACKEND_BUSY", message: "" } as const;
    const verdict = judge(busy, { attempts: 10_000, rerun: false, random: 1 });
    expect(verdict).toEqual({ kind: "retry", delayMs: 60_000, counted: false });
  });

  test("pauses grow from 1 s to 60 s with full jitter, never below what the backend asked", () => {
    const pause = (attempts: number, random: number, retryAfterMs?: number) => {
      const failure = { code: "BACKEND_BUSY", message: "", retryAfterMs } as const;
      const verdict = judge(failure, { attempts, rerun: true, random });
      return verdict.kind === "retry" ? verdict.delayMs : undefined;
    };
    expect([1, 2, 3, 6, 7, 8, 40].map((attempts) => pause(attempts, 1))).toEqual([
      1_000, 2_000, 4_000, 32_000, 60_000, 60_000, 60_000,
    ]);
    expect(pause(3, 0.5)).toBe(2_000);
    expect(pause(3, 0)).toBe(0);
    expect(pause(1, 0, 7_000)).toBe(7_000);
  });
});
