/** Which measurements say how large a model is, and what a job needs on top. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { DeviceReading } from "../../../core/vram/probes/probe.ts";
import { type Belief, learn } from "../../../core/vram/truth.ts";
import { belief, beliefs, RUNS, reading, readingOf } from "./truth-world.ts";

const a = belief("a", [1], 8_000);
const blind = belief("blind", [], 6_000);
const total = (numbers: readonly number[]) => numbers.reduce((sum, it) => sum + it, 0);

describe("what can be learned of sizes", () => {
  const alone = readingOf(8_600, [[1, 8_200]]);
  const working = { workingMiB: 3_000, running: 1 };
  test.each<[string, DeviceReading, Belief[], ReturnType<typeof learn>]>([
    [
      "one model and no job: its size",
      alone,
      [a],
      [{ backend: "a", kind: "resident", model: "m", mib: 8_200 }],
    ],
    [
      "also beside other backends and strangers",
      readingOf(14_000, [
        [1, 8_200],
        [2, 4_800],
        [9, 900],
      ]),
      [a, belief("b", [2], 4_000)],
      [
        { backend: "a", kind: "resident", model: "m", mib: 8_200 },
        { backend: "b", kind: "resident", model: "m", mib: 4_800 },
      ],
    ],
    [
      "one job: what it needs on top",
      readingOf(10_000, [[1, 9_700]]),
      [belief("a", [1], 8_000, working)],
      [{ backend: "a", kind: "working", model: "m", mib: 1_700 }],
    ],
    [
      "a job on a model that is smaller than believed: nothing on top",
      readingOf(7_000, [[1, 7_000]]),
      [belief("a", [1], 8_000, working)],
      [{ backend: "a", kind: "working", model: "m", mib: 0 }],
    ],
    ["two jobs", alone, [belief("a", [1], 8_000, { running: 2 })], []],
    ["two models", alone, [belief("a", [1], 8_000, { models: ["m", "n"] })], []],
    ["no model", alone, [belief("a", [1], 0)], []],
    ["something comes or goes", alone, [belief("a", [1], 8_000, { settled: false })], []],
    ["a process that holds next to nothing", readingOf(60, [[1, 60]]), [a], []],
    ["a process that is not listed", readingOf(400, []), [a], []],
    ["two names of one server", alone, [a, belief("a2", [1], 0)], []],
    ["a list with holes", readingOf(12_000, [[1, 8_200]]), [a], []],
    [
      "no figures per process, though nobody else is believed there",
      readingOf(8_600),
      [belief("a", [], 8_000)],
      [],
    ],
    [
      "the only process of a device with only one backend",
      readingOf(6_300, [[9, 6_100]]),
      [blind],
      [{ backend: "blind", kind: "resident", model: "m", mib: 6_100 }],
    ],
    [
      "one of two processes",
      readingOf(6_600, [
        [9, 6_100],
        [8, 300],
      ]),
      [blind],
      [],
    ],
    [
      "the only process, but two backends",
      readingOf(6_300, [[9, 6_100]]),
      [blind, belief("b", [2], 0)],
      [],
    ],
  ])("%s", (_case, seen, believed, facts) => {
    expect(learn(seen, believed)).toEqual(facts);
  });

  test("no more than one fact of a backend, and never more than is there", () => {
    fc.assert(
      fc.property(reading, beliefs, (seen, believed) => {
        const facts = learn(seen, believed);
        const shownMiB = total((seen.processes ?? []).map((it) => it.usedMiB));
        expect(facts.length).toBeLessThanOrEqual(believed.length);
        for (const fact of facts) expect(fact.mib).toBeLessThanOrEqual(shownMiB);
      }),
      RUNS,
    );
  });
});
