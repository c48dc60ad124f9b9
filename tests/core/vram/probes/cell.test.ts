/** When a state is believed, and which look answers a question: with a clock that the test turns. */
import { expect, test } from "bun:test";
import { silentLog } from "../../../../core/log.ts";
import { createCell } from "../../../../core/vram/probes/cell.ts";

let nowMs = 0;
const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
const cell = () =>
  createCell({ device: "gpu", kind: "command", staleMs: 1_000, clock, log: silentLog });
const reading = (usedMiB: number) =>
  ({ kind: "reading", reading: { totalMiB: 100, usedMiB, atMs: nowMs } }) as const;

test("a reading is believed until the stale limit, and then missing with its age", () => {
  const { probe, publish } = cell();
  publish(reading(1), nowMs);
  nowMs += 1_000;
  expect(probe.state()).toMatchObject({ kind: "reading" });
  nowMs += 500;
  expect(probe.state()).toEqual({
    kind: "missing",
    reason: "the newest reading is 1.5 s old, believed are 1.0 s",
  });
});

test("a look that began before the question does not answer it", async () => {
  const { probe, publish } = cell();
  const answer = probe.fresh(AbortSignal.timeout(10_000));
  publish(reading(1), nowMs - 1);
  publish({ kind: "missing", reason: "an old failure" }, nowMs - 1);
  publish(reading(2), nowMs);
  expect((await answer).usedMiB).toBe(2);
});

test("a look after the question that fails is an answer, too", async () => {
  const { probe, publish } = cell();
  const answer = probe.fresh(AbortSignal.timeout(10_000)).catch((error) => error);
  publish({ kind: "missing", reason: "driver reset" }, nowMs);
  expect((await answer).message).toBe("gpu: driver reset");
});

test("who still waits at the close is told", async () => {
  const { probe } = cell();
  const answer = probe.fresh(AbortSignal.timeout(10_000)).catch((error) => error);
  await probe.close();
  expect((await answer).message).toContain("closed");
  expect((await probe.fresh(AbortSignal.timeout(10)).catch((error) => error)).message).toContain(
    "closed",
  );
});
