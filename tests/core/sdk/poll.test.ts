import { expect, test } from "bun:test";
import { poll } from "switchyard/sdk";

const { signal } = new AbortController();

test("asks until there is an answer, also a falsy one", async () => {
  let asked = 0;
  const check = async (): Promise<number | undefined> => (++asked < 4 ? undefined : 0);
  expect(await poll(check, { signal, intervalMs: 1 })).toBe(0);
  expect(asked).toBe(4);
});

test("what a question throws ends the asking", async () => {
  const error = new Error("gone");
  const asking = poll(() => Promise.reject(error), { signal, intervalMs: 1 });
  expect(await asking.catch((thrown: unknown) => thrown)).toBe(error);
});

test("an abort ends the longest pause at once, with its reason", async () => {
  const abort = new AbortController();
  const reason = new Error("cancelled");
  let asked = 0;
  const check = async (): Promise<undefined> => {
    asked += 1;
    queueMicrotask(() => abort.abort(reason));
    return undefined;
  };
  const asking = poll(check, { signal: abort.signal, intervalMs: 60_000 });
  expect(await asking.catch((thrown: unknown) => thrown)).toBe(reason);
  expect(asked).toBe(1);
});

test("an abort before the first question asks nothing", async () => {
  let asked = 0;
  const check = async (): Promise<undefined> => {
    asked += 1;
    return undefined;
  };
  const asking = poll(check, { signal: AbortSignal.abort(new Error("cancelled")) });
  expect(String(await asking.catch((thrown: unknown) => thrown))).toContain("cancelled");
  expect(asked).toBe(0);
});

test("the pauses grow up to their bound", async () => {
  const times: number[] = [];
  const check = async (): Promise<true | undefined> => {
    times.push(performance.now());
    return times.length === 6 ? true : undefined;
  };
  await poll(check, { signal, intervalMs: 10, maxIntervalMs: 20 });
  const pauses = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  // 10, 15, 20, 20, 20: together 85; a timer may be late, never early by more than its grain.
  expect(pauses.reduce((sum, pause) => sum + pause, 0)).toBeGreaterThan(78);
});
