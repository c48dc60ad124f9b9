/**
 * `bun run bench scheduler`: the product's own scheduler on a virtual clock, beside what is done
 * today, the exact optimum of small instances and a bound that no schedule gets below.
 */
import { exclusive } from "../../core/vram/policy/exclusive.ts";
import { fair } from "../../core/vram/policy/fair.ts";
import { fifo } from "../../core/vram/policy/fifo.ts";
import type { Bench, Report, Verdict } from "../tools/report.ts";
import { figure, median, percentile } from "../tools/statistics.ts";
import { BASELINES, runBaseline } from "./baselines.ts";
import { flowBound } from "./bound.ts";
import { type Metrics, mean, measure } from "./metrics.ts";
import { type Arrivals, DEVICE_MIB, generate, mixServices } from "./mix.ts";
import { laneOptimum } from "./optimum.ts";
import { residencyCost, residencyOptimum } from "./residency.ts";
import { runOurs } from "./run-ours.ts";
import { partitionRatios } from "./run-partition.ts";
import { measureSpeed } from "./run-speed.ts";
import { azureTimestampsMs, mooncakeTimestampsMs } from "./traces.ts";
import { batchInstance, onlineInstance, starvation, VICTIM } from "./workloads.ts";

const SEEDS = [1, 2, 3, 4, 5];
const JOBS = 4_000;
const LOADS = [0.3, 0.5, 0.7];
const BATCHES = 300;
const ONLINE = 300;
const RESIDENCY_JOBS = 3_000;

export const scheduler: Bench = {
  name: "scheduler",
  summary: "the VRAM scheduler against baselines, the exact optimum and a lower bound (1 to 2 min)",
  async run(): Promise<Report> {
    const streams = sharedStreams();
    const small = smallInstances();
    const residency = residencies();
    const starved = starvations();
    const partition = partitionRatios();
    const speed = measureSpeed();
    return {
      tables: [
        streams.table,
        streams.detail,
        small.table,
        residency.table,
        starved.table,
        partition.table,
        speed.table,
      ],
      verdicts: [
        ...small.verdicts,
        ...streams.verdicts,
        ...residency.verdicts,
        ...starved.verdicts,
        ...partition.verdicts,
        ...speed.verdicts,
      ],
      notes: [
        `Nine services on 24 GB (bench/scheduler/mix.ts), ${JOBS.toLocaleString("en-US")} jobs, stickiness 0.5, seeds ${SEEDS.join(", ")}: medians. Small instances: seeds 1 to ${BATCHES}.`,
        "The baselines are reproduced from their sources, not run, and have no limit of long jobs; ours has one per device.",
        "The bound lets jobs be interrupted and loads cost nothing: nobody can reach it.",
      ],
      raw: { streams: streams.raw, small: small.raw, residency: residency.raw },
    };
  },
};

interface Part {
  readonly table: Report["tables"][number];
  readonly verdicts: readonly Verdict[];
  readonly raw: unknown;
}

const RULES = [...BASELINES, "exclusive", "fifo", "fair"] as const;
const OURS = { exclusive, fifo, fair };
type RuleName = (typeof RULES)[number];

interface One {
  readonly ratio: number;
  readonly metrics: Metrics;
}

function sharedStreams(): Part & { readonly detail: Part["table"] } {
  const streams: readonly (readonly [string, Arrivals, number])[] = [
    ...LOADS.map((load) => [`Poisson ${load}`, { kind: "poisson" }, load] as const),
    ["CV 3, 0.5", { kind: "gamma", cv: 3 }, 0.5],
    ["Azure 0.5", { kind: "timestamps", timestampsMs: azureTimestampsMs() }, 0.5],
    ["Mooncake 0.5", { kind: "timestamps", timestampsMs: mooncakeTimestampsMs() }, 0.5],
  ];
  const results = new Map<RuleName, One[][]>(RULES.map((rule) => [rule, []]));
  const services = mixServices();
  for (const [, arrivals, load] of streams) {
    const jobs = SEEDS.map((seed) =>
      generate({ seed, jobs: JOBS, load, stickiness: 0.5, arrivals }),
    );
    for (const [rule, rows] of results) {
      rows.push(
        jobs.map((trace) => {
          const world = { services, jobs: trace, devicesMib: [DEVICE_MIB] };
          const lines = isOurs(rule)
            ? runOurs({ ...world, policy: OURS[rule], compute: "shared" })
            : runBaseline(rule, { ...world, compute: "shared" });
          const metrics = measure(services, trace, lines);
          return { metrics, ratio: metrics.meanFlowMs / flowBound(trace) };
        }),
      );
    }
  }
  const ratio = (rule: RuleName, stream: number) =>
    median((results.get(rule)?.[stream] ?? []).map((one) => one.ratio));
  const half = [1, 3, 4, 5];
  return {
    table: {
      caption: "Shared computing: mean flow / bound.",
      head: ["rule", ...streams.map(([name]) => name)],
      rows: RULES.map((rule) => [
        rule,
        ...streams.map((_, index) => figure(ratio(rule, index), 2)),
      ]),
    },
    detail: detailOf(results),
    verdicts: half.flatMap((index): Verdict[] => {
      const name = streams[index]?.[0] ?? "";
      const ours = ratio("fair", index);
      const limit = (goal: string, most: number, measured: number): Verdict => ({
        ...{ goal: `${name}: ${goal}`, limit: most, kind: "most", measured, unit: "", digits: 2 },
      });
      return [
        limit("flow / bound", 2.7, ours),
        limit("flow / packing with LRU", 0.7, ours / ratio("packing-lru", index)),
        limit("flow / llama-swap", 0.35, ours / ratio("llama-swap", index)),
      ];
    }),
    raw: [...results].map(([rule, rows]) => ({ rule, rows })),
  };
}

function detailOf(results: ReadonlyMap<RuleName, One[][]>): Part["table"] {
  const seconds = (value: number) => figure(value / 1_000);
  return {
    caption: "Poisson 0.5 in detail, seconds.",
    head: [
      ...["rule", "mean wait", "p95 wait", "longest wait", "bounded slowdown"],
      ...["interactive delay p95", "loads per 100 jobs"],
    ],
    rows: RULES.map((rule) => {
      const of = (read: (metrics: Metrics) => number) =>
        median((results.get(rule)?.[1] ?? []).map(({ metrics }) => read(metrics)));
      return [
        rule,
        seconds(of(({ meanWaitMs }) => meanWaitMs)),
        seconds(of(({ p95WaitMs }) => p95WaitMs)),
        seconds(of(({ maxWaitMs }) => maxWaitMs)),
        figure(
          of(({ boundedSlowdown }) => boundedSlowdown),
          1,
        ),
        seconds(of(({ interactiveDelayP95Ms }) => interactiveDelayP95Ms)),
        figure(
          of(({ loadsPer100Jobs }) => loadsPer100Jobs),
          1,
        ),
      ];
    }),
  };
}

function smallInstances(): Part {
  const sets = [
    ["batch of 10", times(BATCHES, (index) => batchInstance(index + 1, 10))],
    ["batch of 12", times(BATCHES / 3, (index) => batchInstance(index + 1, 12))],
    [
      "10 jobs online, load 0.5, 1, 2",
      times(ONLINE, (index) => onlineInstance(index + 1, 10, [0.5, 1, 2][index % 3] ?? 1)),
    ],
  ] as const;
  const measured = sets.map(([name, instances]) => {
    const each = instances.map(({ services, jobs }) => {
      const devicesMib = [DEVICE_MIB];
      const lines = runOurs({ services, jobs, devicesMib, compute: "lane", policy: fair });
      const ours = measure(services, jobs, lines);
      const best = laneOptimum({ services, jobs, deviceMib: DEVICE_MIB }, "next");
      return {
        flow: ours.meanFlowMs / best.meanFlowMs,
        makespan: ours.makespanMs / best.makespanMs,
      };
    });
    return {
      name,
      flow: each.map(({ flow }) => flow),
      makespan: mean(each.map((it) => it.makespan)),
    };
  });
  const verdict = (goal: string, limit: number, value: number): Verdict => ({
    ...{ goal, limit, kind: "most", measured: value, unit: "", digits: 3 },
  });
  return {
    table: {
      caption: "Exclusive lane, fair: mean flow / exact optimum, which knows every run time.",
      head: ["instances", "mean", "p95", "most", "makespan / optimum"],
      rows: measured.map(({ name, flow, makespan }) => [
        name,
        figure(mean(flow), 3),
        figure(percentile(flow, 0.95), 3),
        figure(Math.max(...flow), 2),
        figure(makespan, 3),
      ]),
    },
    verdicts: [
      ...measured
        .slice(0, 2)
        .flatMap(({ name, flow, makespan }) => [
          verdict(`${name}: mean flow / optimum`, 1.15, mean(flow)),
          verdict(`${name}: p95`, 1.45, percentile(flow, 0.95)),
          verdict(`${name}: makespan / optimum`, 1.02, makespan),
        ]),
      verdict("online: mean flow / optimum", 1.7, mean(measured[2]?.flow ?? [])),
    ],
    raw: measured,
  };
}

function residencies(): Part {
  const rows = [DEVICE_MIB, 2 * DEVICE_MIB].flatMap((device) =>
    [0, 0.5, 0.8].map((stickiness) => {
      const each = SEEDS.map((seed) => {
        const wish = { seed, jobs: RESIDENCY_JOBS, load: 0.5, stickiness };
        const jobs = generate({ ...wish, arrivals: { kind: "poisson" } });
        const services = mixServices();
        const world = { services, jobs, devicesMib: [device], compute: "lane" as const };
        const ours = measure(services, jobs, runOurs({ ...world, policy: fifo })).loadSeconds;
        const instance = { services, order: jobs.map(({ service }) => service), deviceMib: device };
        const best = residencyOptimum(instance) / 1_000;
        return { ours: ours / best, lru: residencyCost(instance, "lru") / 1_000 / best };
      });
      return { device, stickiness, ours: each.map((it) => it.ours), lru: each.map((it) => it.lru) };
    }),
  );
  const worst = (device: number) =>
    Math.max(...rows.filter((row) => row.device === device).map(({ ours }) => mean(ours)));
  return {
    table: {
      caption: "Load seconds / optimum in strict order (`--policy fifo`), mean (most).",
      head: ["MiB", "stickiness", "fifo", "LRU"],
      rows: rows.map(({ device, stickiness, ours, lru }) => [
        device.toLocaleString("en-US"),
        String(stickiness),
        `${figure(mean(ours), 2)} (${figure(Math.max(...ours), 2)})`,
        `${figure(mean(lru), 2)} (${figure(Math.max(...lru), 2)})`,
      ]),
    },
    verdicts: [
      ["load seconds / optimum, 24 GB", 1.3, worst(DEVICE_MIB)],
      ["load seconds / optimum, 48 GB", 1.65, worst(2 * DEVICE_MIB)],
    ].map(([goal, limit, measured]) => ({
      ...{ goal: String(goal), limit: Number(limit), kind: "most", unit: "", digits: 2 },
      measured: Number(measured),
    })),
    raw: rows,
  };
}

function starvations(): Part {
  const rows = [0.8, 0.95].map((hotLoad) => {
    const longest = times(15, (index) => {
      const { services, jobs } = starvation({ seed: index + 1, hotLoad });
      const world = { services, jobs, devicesMib: [DEVICE_MIB], compute: "shared" as const };
      const { byService } = measure(services, jobs, runOurs({ ...world, policy: fair }));
      return (byService[VICTIM]?.maxWaitMs ?? 0) / 1_000;
    });
    return { hotLoad, longest };
  });
  return {
    table: {
      caption: "Starvation: longest wait of a job that a hot service keeps out, seconds, 15 seeds.",
      head: ["load of the hot service", "median", "most"],
      rows: rows.map(({ hotLoad, longest }) => [
        String(hotLoad),
        figure(median(longest)),
        figure(Math.max(...longest)),
      ]),
    },
    verdicts: [
      {
        goal: "longest wait at 0.95",
        limit: 450,
        kind: "most",
        measured: Math.max(...(rows[1]?.longest ?? [])),
        unit: "s",
      },
    ],
    raw: rows,
  };
}

function isOurs(rule: RuleName): rule is keyof typeof OURS {
  return Object.hasOwn(OURS, rule);
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: Math.floor(count) }, (_, index) => make(index));
}
