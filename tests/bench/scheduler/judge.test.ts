/** The judge: a result that obeys is let go, one that breaks a single rule is charged with it. */
import { describe, expect, test } from "bun:test";
import { BASELINES, runBaseline } from "../../../bench/scheduler/baselines.ts";
import type { BrokenRule, JudgeOptions } from "../../../bench/scheduler/court.ts";
import type { Compute, Job, ResultLine, Service } from "../../../bench/scheduler/format.ts";
import { judge } from "../../../bench/scheduler/judge.ts";
import { DEVICE_MIB, generate, mixServices } from "../../../bench/scheduler/mix.ts";
import { batchInstance, starvation } from "../../../bench/scheduler/workloads.ts";

const SERVICES: readonly Service[] = [
  { name: "small", vram_mib: 4, load_ms: 100, run_ms: 1_000, slots: 2 },
  { name: "large", vram_mib: 8, load_ms: 200, run_ms: 20_000 },
  { name: "other", vram_mib: 4, load_ms: 100, run_ms: 20_000 },
];
const JOBS: readonly Job[] = [
  { id: "a", at_ms: 0, service: "small", run_ms: 1_000 },
  { id: "b", at_ms: 0, service: "small", run_ms: 1_000 },
  { id: "c", at_ms: 50, service: "large", run_ms: 3_000 },
];
const CASE = { services: SERVICES, jobs: JOBS, devicesMib: [10], heavy: 1 } as const;
const LANE = { ...CASE, compute: "lane" } as const;
const SHARED = { ...CASE, compute: "shared" } as const;
const SUMMARY: ResultLine = { type: "summary" };

const ON_LANE: readonly ResultLine[] = [
  load("small", 0, 100),
  ran("a", 100, 1_100),
  ran("b", 1_100, 2_100),
  evict("small", 2_100),
  load("large", 2_100, 2_300),
  ran("c", 2_300, 5_300),
  SUMMARY,
];
/** Two at once get 0.95 between them: 2,000 ms of work take 2,000 / 0.95. */
const BOTH_END = 100 + 2_000 / 0.95;
const ON_SHARED: readonly ResultLine[] = [
  load("small", 0, 100),
  ran("a", 100, BOTH_END),
  ran("b", 100, BOTH_END),
  evict("small", BOTH_END),
  load("large", BOTH_END, BOTH_END + 200),
  ran("c", BOTH_END + 200, BOTH_END + 3_200),
  SUMMARY,
];

describe("a result that obeys", () => {
  test("on a lane is let go, and measured", () => {
    const { violations, metrics } = judge(LANE, ON_LANE);
    expect(violations).toEqual([]);
    expect(metrics).toMatchObject({
      jobs: 3,
      meanFlowMs: (1_100 + 2_100 + 5_250) / 3,
      meanWaitMs: (100 + 1_100 + 2_250) / 3,
      p95WaitMs: 2_250,
      maxWaitMs: 2_250,
      boundedSlowdown: 1,
      interactiveDelayP95Ms: 1_100,
      loadsPer100Jobs: 200 / 3,
      loadSeconds: 0.3,
      mibLoadedPerJob: 4,
      makespanMs: 5_300,
      wastedLoads: 0,
      openPrefetches: 0,
    });
    expect(metrics.busyShare).toBeCloseTo(5_000 / 5_300, 9);
    expect(metrics.byService.large).toMatchObject({ jobs: 1, maxWaitMs: 2_250 });
  });

  test("with shared computing is let go, whatever the order of its lines", () => {
    expect(judge(SHARED, ON_SHARED).violations).toEqual([]);
    expect(judge(SHARED, [...ON_SHARED.slice(0, -1).reverse(), SUMMARY]).violations).toEqual([]);
  });

  test("rounded to whole milliseconds is let go with a tolerance of one", () => {
    const rounded = JSON.parse(JSON.stringify(ON_SHARED), (_, value) =>
      typeof value === "number" ? Math.round(value) : value,
    );
    expect(judge(SHARED, rounded).violations).not.toEqual([]);
    expect(judge({ ...SHARED, toleranceMs: 1 }, rounded).violations).toEqual([]);
  });

  test("slowdown counts the wait against ten seconds at least", () => {
    const late = [load("large", 0, 200), ran("c", 27_050, 30_050), SUMMARY];
    const { metrics } = judge({ ...LANE, jobs: [JOBS[2]!] }, late);
    expect(metrics.boundedSlowdown).toBe(3);
  });

  test("a load ahead that nobody waited for is counted, not charged", () => {
    const ahead = [...ON_LANE.slice(0, -1), evict("large", 5_300), load("other", 5_300, 5_400)];
    const { violations, metrics } = judge(LANE, [...ahead, SUMMARY]);
    expect([violations, metrics.openPrefetches]).toEqual([[], 1]);
  });
});

interface Breach {
  readonly says: string;
  readonly rule: BrokenRule;
  readonly lines: readonly ResultLine[];
  readonly options?: JudgeOptions;
}

const BREACHES: readonly Breach[] = [
  { says: "no summary", rule: "format", lines: ON_LANE.slice(0, -1) },
  { says: "a summary that is not last", rule: "format", lines: [SUMMARY, ...ON_LANE.slice(0, -1)] },
  {
    says: "a job that is not in the trace",
    rule: "format",
    lines: [ran("x", 6_000, 7_000), ...ON_LANE],
  },
  {
    says: "a device that is not there",
    rule: "format",
    lines: [load("small", 0, 100, 1), ...ON_LANE],
  },
  { says: "a time that is none", rule: "format", lines: [evict("small", Number.NaN), ...ON_LANE] },
  { says: "a job that never ran", rule: "once", lines: without(ON_LANE, 2) },
  {
    says: "a job that ran twice",
    rule: "once",
    lines: [ran("c", 5_300, 8_300), ...ON_LANE],
  },
  {
    says: "a start before the arrival",
    rule: "arrival",
    lines: ON_LANE,
    options: { ...LANE, jobs: [...JOBS.slice(0, 2), { ...JOBS[2]!, at_ms: 2_301 }] },
  },
  {
    says: "a start without a load",
    rule: "residency",
    lines: without(without(ON_LANE, 4), 3),
  },
  {
    says: "a start before the load has ended",
    rule: "residency",
    lines: [load("small", 0, 100), ran("a", 99, 1_099), ran("b", 1_100, 2_100), SUMMARY],
    options: { ...SHARED, jobs: JOBS.slice(0, 2) },
  },
  {
    says: "a start after the eviction",
    rule: "residency",
    lines: [
      load("small", 0, 100),
      ran("a", 100, 1_100),
      evict("small", 1_100),
      ran("b", 1_101, 2_101),
      SUMMARY,
    ],
    options: { ...LANE, jobs: JOBS.slice(0, 2) },
  },
  {
    says: "more jobs than slots",
    rule: "slots",
    lines: ON_SHARED,
    options: { ...SHARED, services: [{ ...SERVICES[0]!, slots: 1 }, ...SERVICES.slice(1)] },
  },
  {
    says: "an eviction of what is not there",
    rule: "eviction",
    lines: [evict("other", 50), ...ON_LANE],
  },
  {
    says: "an eviction under a running job",
    rule: "eviction",
    lines: [...without(ON_LANE, 3), evict("small", 2_099), SUMMARY].filter(
      (line, index, all) => line !== SUMMARY || index === all.length - 1,
    ),
  },
  {
    says: "more resident than the device holds",
    rule: "memory",
    lines: without(ON_LANE, 3),
  },
  {
    says: "more resident than the headroom leaves",
    rule: "memory",
    lines: ON_LANE,
    options: { ...LANE, headroomMib: 3 },
  },
  {
    says: "a load beside what has not left yet",
    rule: "memory",
    lines: [...ON_SHARED.slice(0, 4), ...early(ON_SHARED.slice(4), 1)],
    options: SHARED,
  },
  {
    says: "a second load of what is there",
    rule: "memory",
    lines: [load("large", 5_300, 5_500), ...ON_LANE],
    options: { ...LANE, devicesMib: [30] },
  },
  {
    says: "a load that was too short",
    rule: "load-time",
    lines: replaced(ON_LANE, 4, load("large", 2_100, 2_299)),
  },
  {
    says: "a job that was too short",
    rule: "compute",
    lines: replaced(ON_LANE, 5, ran("c", 2_300, 5_299)),
  },
  {
    says: "a load beside a job on a lane",
    rule: "compute",
    lines: replaced(ON_LANE, 5, ran("c", 2_299.995, 5_300)).with(1, ran("a", 100, 1_100.1)),
    options: { ...LANE, jobs: JOBS.with(0, { ...JOBS[0]!, run_ms: 1_000.1 }) },
  },
  {
    says: "jobs side by side at full speed",
    rule: "compute",
    lines: [load("small", 0, 100), ran("a", 100, 1_100), ran("b", 1_000, 2_000), SUMMARY],
    options: { ...SHARED, jobs: JOBS.slice(0, 2) },
  },
  {
    says: "a load that nobody used before its eviction",
    rule: "wasted",
    lines: [load("other", 5_300, 5_400), evict("other", 5_400), ...ON_LANE],
    options: { ...LANE, devicesMib: [30] },
  },
  {
    says: "a load that stayed unused though somebody waited for it",
    rule: "wasted",
    lines: [load("large", 2_100, 2_300, 1), ...ON_LANE],
    options: { ...LANE, devicesMib: [10, 10] },
  },
];

describe("a result that breaks one rule", () => {
  for (const { says, rule, lines, options } of BREACHES) {
    test(`is charged with it: ${says}`, () => {
      const rules = judge(options ?? LANE, lines).violations.map((violation) => violation.rule);
      expect([...new Set(rules)]).toEqual([rule]);
    });
  }

  test("is charged with too many heavy jobs at once, unless there is no limit", () => {
    const jobs = [JOBS[2]!, { id: "d", at_ms: 0, service: "other", run_ms: 3_000 }];
    const end = 200 + 6_000 / 0.95;
    const lines = [
      load("large", 0, 200),
      load("other", 100, 200),
      ran("c", 200, end),
      ran("d", 200, end),
      SUMMARY,
    ];
    const options = { ...SHARED, jobs, devicesMib: [12] };
    expect(judge(options, lines).violations.map(({ rule }) => rule)).toEqual(["heavy"]);
    expect(judge({ ...options, heavy: 2 }, lines).violations).toEqual([]);
    expect(judge({ ...options, heavy: undefined }, lines).violations).toEqual([]);
  });

  test("many times over does not fill the memory", () => {
    const jobs = Array.from({ length: 2_000 }, (_, index) => ({ ...JOBS[0]!, id: `${index}` }));
    expect(judge({ ...LANE, jobs }, [SUMMARY]).violations).toHaveLength(1_000);
  });
});

describe("the baselines obey", () => {
  const computes: readonly Compute[] = ["lane", "shared"];
  const mix = generate({
    seed: 11,
    jobs: 1_000,
    load: 0.5,
    stickiness: 0.5,
    arrivals: { kind: "gamma", cv: 3 },
  });
  const worlds = [
    { name: "the mix", services: mixServices(), jobs: mix },
    { name: "a batch", ...batchInstance(3, 12) },
    { name: "starvation", ...starvation({ seed: 2, hotLoad: 0.95 }) },
  ];
  for (const baseline of BASELINES) {
    for (const compute of computes) {
      test(`${baseline}, ${compute}, on one device, two, and three of different sizes`, () => {
        for (const { name, ...world } of worlds) {
          for (const devicesMib of [
            [DEVICE_MIB],
            [DEVICE_MIB, DEVICE_MIB],
            [12_000, 24_000, 48_000],
          ]) {
            const options = { ...world, devicesMib, compute };
            const { violations } = judge(options, runBaseline(baseline, options));
            expect([name, violations]).toEqual([name, []]);
          }
        }
      });
    }

    test(`${baseline}, with one heavy job at a time where the world asks for it`, () => {
      const options = { ...worlds[0]!, devicesMib: [49_152], compute: "shared", heavy: 1 } as const;
      expect(judge(options, runBaseline(baseline, options)).violations).toEqual([]);
    });
  }
});

function ran(id: string, start_ms: number, end_ms: number): ResultLine {
  return { type: "job", id, device: 0, start_ms, end_ms };
}

function load(service: string, start_ms: number, end_ms: number, device = 0): ResultLine {
  return { type: "load", service, device, start_ms, end_ms };
}

function evict(service: string, at_ms: number): ResultLine {
  return { type: "evict", service, device: 0, at_ms };
}

function without(lines: readonly ResultLine[], index: number): ResultLine[] {
  return lines.filter((_, at) => at !== index);
}

function replaced(lines: readonly ResultLine[], index: number, line: ResultLine): ResultLine[] {
  return lines.map((old, at) => (at === index ? line : old));
}

/** The same lines, that much earlier. */
function early(lines: readonly ResultLine[], byMs: number): ResultLine[] {
  return JSON.parse(JSON.stringify(lines), (name, value) =>
    name.endsWith("_ms") ? value - byMs : value,
  );
}
