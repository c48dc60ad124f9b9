/** What is measured against what is believed: what counts as foreign, by example. */
import { describe, expect, test } from "bun:test";
import type { DeviceReading } from "../../../core/vram/probes/probe.ts";
import { type Belief, ownUsedMiB, reconcile } from "../../../core/vram/truth.ts";
import { belief, type Row, readingOf } from "./truth-world.ts";

const HIDDEN = "driver and hidden processes";
const a = belief("a", [1], 8_000);
const b = belief("b", [2], 4_000, { workingMiB: 1_000 });
const blind = belief("blind", [], 6_000);

describe("what counts as foreign", () => {
  test.each<[string, DeviceReading, Belief[], number, Record<string, number>]>([
    ["nothing on an empty device", readingOf(0, []), [], 0, {}],
    [
      "what was believed, exactly: nothing",
      readingOf(13_000, [
        [1, 8_000],
        [2, 5_000],
      ]),
      [a, b],
      0,
      { a: 8_000, b: 5_000 },
    ],
    [
      "a backend that uses more is charged the rest",
      readingOf(9_500, [[1, 9_500]]),
      [a],
      1_500,
      { a: 9_500 },
    ],
    ["one that uses less keeps its claim", readingOf(300, [[1, 300]]), [a], 0, { a: 300 }],
    [
      "more of one and less of another do not make up for each other",
      readingOf(10_000, [
        [1, 9_000],
        [2, 1_000],
      ]),
      [a, b],
      1_000,
      { a: 9_000, b: 1_000 },
    ],
    [
      "several processes of one backend count together",
      readingOf(8_500, [
        [1, 3_000],
        [5, 5_500],
      ]),
      [belief("a", [1, 5, 1], 8_000)],
      500,
      { a: 8_500 },
    ],
    [
      "a process with two rows counts with both",
      readingOf(8_500, [
        [1, 3_000],
        [1, 5_500],
      ]),
      [a],
      500,
      { a: 8_500 },
    ],
    [
      "a process of nobody",
      readingOf(11_000, [
        [1, 8_000],
        [9, 3_000, "game"],
      ]),
      [a],
      3_000,
      { a: 8_000 },
    ],
    [
      "what no process explains is the driver's",
      readingOf(8_450, [[1, 8_000]]),
      [a],
      450,
      { a: 8_000 },
    ],
    [
      "the driver's share does not stand for a model on its way in",
      readingOf(450, []),
      [a, blind],
      450,
      { a: 0 },
    ],
    [
      "processes that add up to more than is used",
      readingOf(7_000, [[1, 8_000]]),
      [a],
      0,
      { a: 8_000 },
    ],
    [
      "a blind backend is covered by what belongs to nobody",
      readingOf(6_200, [[9, 6_200]]),
      [blind],
      200,
      {},
    ],
    [
      "but not by a process of another backend",
      readingOf(8_000, [[1, 8_000]]),
      [a, blind],
      0,
      { a: 8_000 },
    ],
    ["what is hidden may be ours, but for a driver's share", readingOf(8_500, []), [a], 512, {}],
    ["what is hidden may be a blind backend's, too", readingOf(6_700, []), [blind], 700, {}],
    [
      "what is hidden is ours only as far as it was believed",
      readingOf(12_000, []),
      [a],
      4_000,
      {},
    ],
    [
      "a backend partly on a list with holes keeps its figure",
      readingOf(12_000, [[1, 9_000]]),
      [a],
      4_000,
      { a: 9_000 },
    ],
    [
      "two names of one server count together",
      readingOf(12_000, [[1, 12_000]]),
      [a, belief("a2", [1], 4_000)],
      0,
      {},
    ],
    [
      "and are charged together",
      readingOf(12_500, [[1, 12_500]]),
      [a, belief("a2", [1], 4_000)],
      500,
      {},
    ],
    [
      "three that share processes in a chain, too",
      readingOf(9_000, [
        [1, 3_000],
        [2, 6_000],
      ]),
      [belief("x", [1], 3_000), belief("y", [2], 3_000), belief("z", [1, 2], 2_500)],
      500,
      {},
    ],
    [
      "without figures per process, what is beyond everything believed",
      readingOf(14_000),
      [a, b],
      1_000,
      {},
    ],
    ["and nothing below it", readingOf(9_000), [a, b], 0, {}],
    [
      "figures that make no sense count as nothing",
      readingOf(1_000, [
        [9, -5],
        [8, Number.NaN],
        [7, 1_000],
      ]),
      [belief("n", [3], Number.NaN, { workingMiB: -7 })],
      1_000,
      { n: 0 },
    ],
  ])("%s", (_case, reading, beliefs, foreignMiB, measured) => {
    const truth = reconcile(reading, beliefs);
    expect(truth.foreignMiB).toBe(foreignMiB);
    expect(Object.fromEntries(truth.measured)).toEqual(measured);
  });

  test("a large device's driver may need more: 2 % of it", () => {
    const reading = readingOf(12_500, [[1, 10_000]], 143_771);
    expect(reconcile(reading, [belief("a", [1], 20_000)])).toMatchObject({
      foreignMiB: 2_500,
      precise: true,
    });
  });
});

describe("shadows", () => {
  test("stand by size, what has no process last", () => {
    const rows: Row[] = [
      [9, 500, "Xorg"],
      [1, 8_000, "python"],
      [7, 3_000, "game"],
      [8, 40],
    ];
    expect(reconcile(readingOf(11_900, rows), [a]).shadows).toEqual([
      { pid: 7, name: "game", usedMiB: 3_000 },
      { pid: 9, name: "Xorg", usedMiB: 500 },
      { pid: 8, name: "unknown process", usedMiB: 40 },
      { pid: null, name: HIDDEN, usedMiB: 360 },
    ]);
  });

  test("are what blind backends leave over: the largest process is taken for theirs", () => {
    const rows: Row[] = [
      [7, 3_000, "game"],
      [9, 6_500, "ollama"],
    ];
    expect(reconcile(readingOf(9_700, rows), [blind]).shadows).toEqual([
      { pid: 7, name: "game", usedMiB: 3_000 },
      { pid: 9, name: "ollama", usedMiB: 500 },
      { pid: null, name: HIDDEN, usedMiB: 200 },
    ]);
  });

  test("of a device without a list have no process", () => {
    expect(reconcile(readingOf(9_000), [a]).shadows).toEqual([
      { pid: null, name: HIDDEN, usedMiB: 1_000 },
    ]);
    expect(reconcile(readingOf(8_000), [a]).shadows).toEqual([]);
  });

  test("do not change what was given", () => {
    const reading = readingOf(500, [
      [9, 100, "small"],
      [7, 400, "large"],
    ]);
    const before = structuredClone(reading);
    reconcile(reading, [blind]);
    expect(reading).toEqual(before);
  });
});

test.each<[DeviceReading, boolean]>([
  [readingOf(8_000, [[1, 8_000]]), true],
  [readingOf(8_512, [[1, 8_000]]), true],
  [readingOf(8_513, [[1, 8_000]]), false],
  [readingOf(8_000), false],
])(
  "a list is precise when it explains what is used but for a driver's share: %#",
  (it, precise) => {
    expect(reconcile(it, [a]).precise).toBe(precise);
  },
);

test.each<[string, DeviceReading, number[], number | undefined]>([
  [
    "its processes",
    readingOf(9_000, [
      [1, 5_000],
      [2, 2_000],
      [3, 1_500],
    ]),
    [1, 2],
    7_000,
  ],
  [
    "those that are listed, of those it may have",
    readingOf(9_000, [
      [1, 5_000],
      [3, 1_500],
    ]),
    [1, 7],
    5_000,
  ],
  ["nothing, when a whole list has none of them", readingOf(5_300, [[1, 5_000]]), [7], 0],
  ["nobody knows what, when the list has holes", readingOf(9_000, [[1, 5_000]]), [7], undefined],
  [
    "nobody knows what, when its processes are unknown",
    readingOf(5_000, [[1, 5_000]]),
    [],
    undefined,
  ],
  ["nobody knows what, without a list", readingOf(5_000), [1], undefined],
])("a backend is seen to use %s", (_case, reading, pids, usedMiB) => {
  expect(ownUsedMiB(reading, pids)).toBe(usedMiB);
});
