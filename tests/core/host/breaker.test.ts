/** When jobs are held back from a backend, for how long, and what ends it. */
import { describe, expect, test } from "bun:test";
import { createBreaker } from "../../../core/host/breaker.ts";

function world() {
  let nowMs = 1_000;
  const breaker = createBreaker(() => nowMs);
  let jobs = 0;
  return {
    breaker,
    later: (ms: number) => {
      nowMs += ms;
    },
    /** Failures of as many jobs; whether each began a pause. */
    fail: (times: number, code: Parameters<typeof breaker.failed>[0] = "BACKEND_LOST") =>
      Array.from({ length: times }, () => breaker.failed(code, `job-${jobs++}`)),
    leftMs: () => (breaker.pause()?.untilMs ?? nowMs) - nowMs,
  };
}

describe("the breaker of a backend", () => {
  test("five failures in a row begin a pause of ten seconds", () => {
    const { breaker, fail, leftMs, later } = world();
    expect(fail(5)).toEqual([false, false, false, false, true]);
    expect(leftMs()).toBe(10_000);
    expect(breaker.pause()?.reason).toContain(
      "5 attempts in a row failed, the last with BACKEND_LOST",
    );
    later(10_000);
    expect(breaker.pause()).toBeUndefined();
  });

  test("a job that completes in between begins the row anew", () => {
    const { breaker, fail } = world();
    fail(4);
    breaker.worked();
    expect(fail(4)).toEqual([false, false, false, false]);
    expect(breaker.pause()).toBeUndefined();
  });

  test("the first failure after a pause makes the next twice as long, up to five minutes", () => {
    const { fail, leftMs, later } = world();
    fail(5);
    const pauses: number[] = [];
    for (let round = 0; round < 7; round++) {
      later(leftMs());
      expect(fail(1)).toEqual([true]);
      pauses.push(leftMs() / 1000);
    }
    expect(pauses).toEqual([20, 40, 80, 160, 300, 300, 300]);
  });

  test("a job that completes ends the pause, and the next one is short again", () => {
    const { breaker, fail, leftMs, later } = world();
    fail(5);
    later(10_000);
    fail(1);
    expect(breaker.worked()).toBe(true);
    expect(breaker.pause()).toBeUndefined();
    expect(fail(5).at(-1)).toBe(true);
    expect(leftMs()).toBe(10_000);
  });

  test("what still fails during a pause makes it no longer", () => {
    const { fail, leftMs, later } = world();
    fail(5);
    later(4_000);
    expect(fail(3)).toEqual([false, false, false]);
    expect(leftMs()).toBe(6_000);
  });

  test("refused input, a full queue, memory and wrong credentials do not count", () => {
    const { breaker, fail } = world();
    const codes = ["BACKEND_REJECTED", "BACKEND_BUSY", "OUT_OF_MEMORY", "BACKEND_UNAUTHORIZED"];
    for (const code of codes) fail(5, code as never);
    expect(breaker.pause()).toBeUndefined();
  });

  test("a job whose own work fails counts once, however often it is tried", () => {
    const { breaker, fail } = world();
    for (let attempt = 0; attempt < 20; attempt++) breaker.failed("BACKEND_FAILED", "same");
    expect(breaker.pause()).toBeUndefined();
    expect(fail(4, "BACKEND_FAILED").at(-1)).toBe(true);
  });

  test("more than half of ten attempts in thirty seconds count like five in a row", () => {
    const { breaker, fail, later } = world();
    for (let round = 0; round < 3; round++) {
      breaker.worked();
      fail(2);
    }
    expect(breaker.pause()).toBeUndefined();
    later(31_000);
    for (let round = 0; round < 3; round++) {
      breaker.worked();
      fail(2);
      expect(breaker.pause()).toBeUndefined();
    }
    breaker.worked();
    expect(fail(1)).toEqual([true]);
    expect(breaker.pause()?.reason).toContain("7 of 11 attempts failed");
  });
});
