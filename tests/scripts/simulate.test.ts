/** `bun run simulate`: its files, its words and what it says of them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runSimulate } from "../../scripts/simulator/command.ts";

interface Line {
  readonly type: string;
  readonly [field: string]: unknown;
}

const SERVICES = [
  { name: "llm", vram_mib: 6_000, load_ms: 4_000, run_ms: 6_000, slots: 2 },
  { name: "image", vram_mib: 9_000, load_ms: 12_000, run_ms: 14_000 },
  { name: "tts", vram_mib: 3_000, load_ms: 12_000, run_ms: 4_000 },
  { name: "video", vram_mib: 16_000, load_ms: 30_000, run_ms: 200_000 },
];

let folder: string;
let said: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "simulate-"));
  said = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function run(
  trace: unknown,
  words: Record<string, string> = {},
  services: unknown = SERVICES,
) {
  const path = (name: string) => join(folder, name);
  const lines = Array.isArray(trace) ? trace.map((job) => JSON.stringify(job)).join("\n") : trace;
  writeFileSync(path("S.json"), JSON.stringify(services));
  writeFileSync(path("T.jsonl"), String(lines));
  const all = {
    "--services": path("S.json"),
    "--trace": path("T.jsonl"),
    "--devices": "24576",
    "--out": path("R.jsonl"),
    ...words,
  };
  const code = await runSimulate(Object.entries(all).flat(), {
    say: (line) => said.push(line),
    nowMs: () => performance.now(),
  });
  const written = (): Line[] =>
    readFileSync(path("R.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  return { code, written };
}

/** Times are off by fractions of a microsecond, from sharing. */
function rounded(lines: readonly Line[]): unknown[] {
  return lines.map((line) =>
    Object.fromEntries(
      Object.entries(line).map(([name, value]) => [
        name,
        typeof value === "number" ? Math.round(value * 100) / 100 : value,
      ]),
    ),
  );
}

describe("what happens", () => {
  test("a lane does one thing at a time, and every line says what and when", async () => {
    const { code, written } = await run(
      [
        { id: "a", at_ms: 0, service: "llm", run_ms: 5_000 },
        { id: "b", at_ms: 1_000, service: "image", run_ms: 10_000 },
        { id: "c", at_ms: 2_000, service: "video", run_ms: 100_000 },
      ],
      { "--compute": "lane" },
    );
    expect(code).toBe(0);
    const lines = written();
    expect(lines.slice(0, -1)).toEqual([
      { type: "load", service: "llm", device: 0, start_ms: 0, end_ms: 4_000 },
      { type: "job", id: "a", device: 0, start_ms: 4_000, end_ms: 9_000 },
      { type: "load", service: "image", device: 0, start_ms: 9_000, end_ms: 21_000 },
      { type: "job", id: "b", device: 0, start_ms: 21_000, end_ms: 31_000 },
      { type: "evict", service: "image", device: 0, at_ms: 31_000 },
      { type: "load", service: "video", device: 0, start_ms: 31_000, end_ms: 61_000 },
      { type: "job", id: "c", device: 0, start_ms: 61_000, end_ms: 161_000 },
    ]);
    expect(lines.at(-1)).toMatchObject({
      type: "summary",
      jobs: 3,
      finished: 3,
      unfinished: 0,
      mean_flow_ms: (9_000 + 30_000 + 159_000) / 3,
      max_wait_ms: 59_000,
      loads: 3,
      load_seconds: 46,
      evictions: 1,
      wasted_loads: 0,
      makespan_ms: 161_000,
    });
  });

  test("jobs side by side get 0.95 of the device in all, and a load costs them nothing", async () => {
    const { written } = await run([
      { id: "a", at_ms: 0, service: "llm", run_ms: 9_500 },
      { id: "b", at_ms: 0, service: "llm", run_ms: 9_500 },
      { id: "c", at_ms: 0, service: "tts", run_ms: 1_000 },
    ]);
    const ends = rounded(written().filter(({ type }) => type === "job"));
    // Two at 0.475 each from 4 s on; from 12 s on three at 0.95 / 3.
    expect(ends).toEqual([
      { type: "job", id: "c", device: 0, start_ms: 12_000, end_ms: 15_157.89 },
      { type: "job", id: "a", device: 0, start_ms: 4_000, end_ms: 25_052.63 },
      { type: "job", id: "b", device: 0, start_ms: 4_000, end_ms: 25_052.63 },
    ]);
  });

  test("an unsorted trace is put in order, and the same trace gives the same result", async () => {
    const trace = Array.from({ length: 200 }, (_, index) => ({
      id: `j${index}`,
      at_ms: ((index * 7_919) % 200) * 3_000,
      service: SERVICES[index % 4]!.name,
      run_ms: 500 + ((index * 31) % 97) * 100,
      key: `k${index % 3}`,
    }));
    const first = (await run(trace)).written();
    const sorted = [...trace].sort((a, b) => a.at_ms - b.at_ms);
    const second = (await run(sorted)).written();
    expect(first.slice(0, -1)).toEqual(second.slice(0, -1));
    expect(first.filter(({ type }) => type === "job")).toHaveLength(200);
  });

  test("no more of a service run at once than it has slots, on all devices together", async () => {
    const trace = Array.from({ length: 30 }, (_, index) => ({
      id: `j${index}`,
      at_ms: index * 100,
      service: "llm",
      run_ms: 8_000,
    }));
    const { written } = await run(trace, { "--devices": "24576,24576,24576" });
    const jobs = written().filter(({ type }) => type === "job");
    const edges = jobs.flatMap(({ start_ms, end_ms }) => [
      [start_ms as number, 1],
      [end_ms as number, -1],
    ]) as [number, number][];
    let now = 0;
    let most = 0;
    for (const [, step] of edges.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
      now += step;
      most = Math.max(most, now);
    }
    expect(most).toBe(2);
  });

  test("jobs that fit on no device are left out, named, and no failure", async () => {
    const { code, written } = await run(
      [
        { id: "big", at_ms: 0, service: "video", run_ms: 1 },
        { id: "small", at_ms: 0, service: "llm", run_ms: 1 },
      ],
      { "--devices": "8192" },
    );
    expect(code).toBe(0);
    expect(written().at(-1)).toMatchObject({
      finished: 1,
      infeasible: 1,
      infeasible_jobs: ["big"],
    });
    expect(said).toEqual(["1 of 2 jobs fit on no device (video): left out."]);
  });

  test("headroom is memory that nobody gets", async () => {
    const trace = [{ id: "a", at_ms: 0, service: "llm", run_ms: 1 }];
    expect((await run(trace, { "--devices": "6500" })).written().at(-1)?.finished).toBe(1);
    const tight = await run(trace, { "--devices": "6500", "--headroom": "501" });
    expect(tight.written().at(-1)).toMatchObject({ finished: 0, infeasible: 1 });
  });

  test("a policy of one's own is loaded from its path", async () => {
    const path = join(folder, "mine.ts");
    writeFileSync(
      path,
      `export const policy = {
        name: "first-come",
        next: ({ groups }) => {
          const [group] = groups;
          const [line] = group.lines;
          const job = line.jobs[line.head];
          const [place] = group.places;
          if (place.state === "absent") return { kind: "load", job, place, victims: [] };
          if (place.state !== "resident" || place.running > 0) return undefined;
          return { kind: "start", job, place };
        },
      };`,
    );
    const trace = [1, 2].map((id) => ({ id, at_ms: 0, service: "llm", run_ms: 100 }));
    const { code, written } = await run(trace, { "--policy": path });
    expect(code).toBe(0);
    expect(written().at(-1)).toMatchObject({ policy: "first-come", finished: 2 });
  });

  test("a policy that lets jobs wait for ever is told on", async () => {
    const path = join(folder, "lazy.ts");
    writeFileSync(path, `export const policy = { name: "lazy", next: () => undefined };`);
    const trace = [{ id: "a", at_ms: 0, service: "llm", run_ms: 100 }];
    const { code, written } = await run(trace, { "--policy": path });
    expect(code).toBe(1);
    expect(said).toEqual(["The policy left 1 of 1 jobs waiting for ever."]);
    expect(written().at(-1)).toMatchObject({ unfinished: 1, unfinished_jobs: ["a"] });
  });

  test("an empty trace has a summary", async () => {
    const { code, written } = await run("");
    expect(code).toBe(0);
    expect(written()).toHaveLength(1);
    expect(written()[0]).toMatchObject({ type: "summary", jobs: 0, mean_flow_ms: 0 });
  });
});

describe("what is wrong is said with its place", () => {
  const job = { id: "a", at_ms: 0, service: "llm", run_ms: 100 };
  const cases: readonly [string, unknown, string][] = [
    ["a line that is no JSON", `${JSON.stringify(job)}\n\nnot json`, "T.jsonl:3: this is no JSON"],
    [
      "an unknown service",
      [job, { ...job, id: "b", service: "music" }],
      'T.jsonl:2: no service is called "music"; there are: llm, image, tts, video.',
    ],
    [
      "a negative time",
      [{ ...job, at_ms: -1 }],
      'T.jsonl:1: "at_ms" is -1; it must be a number, 0 or more.',
    ],
    ["a missing field", [{ id: "a", at_ms: 0, service: "llm" }], 'T.jsonl:1: "run_ms" is missing'],
    ["a text for a number", [{ ...job, run_ms: "5" }], '"run_ms" is "5"; it must be a number'],
    ["an id that is there twice", [job, job], 'T.jsonl:2: a job "a" came before.'],
    ["a priority out of range", [{ ...job, priority: 12 }], '"priority" is 12; it must be 0 to 9.'],
    ["a list for a job", [[]], "T.jsonl:1: it must be an object."],
  ];
  for (const [name, trace, message] of cases) {
    test(name, async () => {
      expect((await run(trace)).code).toBe(2);
      expect(said.join("\n")).toContain(message);
    });
  }

  test("services that make no sense", async () => {
    const code = (await run([], {}, [{ ...SERVICES[0], slots: 0 }])).code;
    expect(code).toBe(2);
    expect(said[0]).toContain('S.json: service 1: "slots" is 0; it must be a whole number, 1 or');
  });

  test("words that make no sense", async () => {
    const words: readonly [Record<string, string>, string][] = [
      [{ "--devices": "24g" }, '--devices has "24g"'],
      [{ "--devices": "24576,," }, '--devices has ""'],
      [{ "--compute": "turbo" }, '--compute is "turbo"; it is shared or lane.'],
      [
        { "--policy": "best" },
        '--policy: "best" is no policy; it is fair, fifo, exclusive or a path',
      ],
      [{ "--heavy": "0" }, '--heavy has "0"; it is a whole number, 1 or more.'],
      [{ "--speed": "2" }, '"--speed" is none of the options.'],
      [{ "--trace": "/nowhere/T.jsonl" }, "/nowhere/T.jsonl cannot be read: ENOENT."],
      [{ "--out": "/nowhere/R.jsonl" }, "/nowhere/R.jsonl cannot be written: ENOENT."],
      [{ "--policy": "./nowhere.ts" }, "--policy: ./nowhere.ts cannot be loaded"],
    ];
    for (const [wrong, message] of words) {
      said = [];
      expect((await run([], wrong)).code).toBe(2);
      expect(said.join("\n")).toContain(message);
    }
  });
});
