/**
 * The wall-clock twin: the same traces through the simulator and through a real gateway with real
 * processes, HTTP and probes, fifty times as fast as life. If the simulator leaves out something
 * that matters, its twin shows it.
 */
import type { Job, Service } from "./scheduler/format.ts";
import { DEVICE_MIB } from "./scheduler/mix.ts";
import type { Bench, Report, Table } from "./tools/report.ts";
import { onOwnStage } from "./tools/stage.ts";
import { figure, spread } from "./tools/statistics.ts";
import { type Course, meanFlowMs, simulated } from "./twin/course.ts";
import { type Played, play } from "./twin/play.ts";
import { LOAD, SCALE, SEEDS, scaledServices, scaledTrace } from "./twin/wish.ts";
import { buildYard } from "./twin/yard.ts";

/** Part by which the twin's mean flow may differ from the simulator's. */
const TOLERANCE = 0.1;

interface Round {
  readonly seed: number;
  readonly trace: readonly Job[];
  readonly simulator: Course;
  readonly twin: Played;
}

export const twin: Bench = {
  name: "twin",
  summary: "whether the simulator's mean flow is that of real processes behind the real gateway",
  async run(): Promise<Report> {
    const services = scaledServices();
    // Side by side: they mostly wait, and nobody should wait for them one after the other.
    const rounds = await Promise.all(SEEDS.map((seed) => playRound(seed, services)));
    const failures = rounds.flatMap(({ twin: { failures } }) => failures);
    if (failures.length > 0) throw new Error(`jobs did not complete: ${failures.join("; ")}`);
    return reportOf(rounds, services);
  },
};

async function playRound(seed: number, services: readonly Service[]): Promise<Round> {
  const trace = scaledTrace(seed);
  const loadMsOf = (name: string) => services.find((it) => it.name === name)?.load_ms ?? 0;
  const played = await onOwnStage(async (stage) => {
    const yard = await buildYard(stage, services);
    const played = await play(yard, trace, loadMsOf);
    await yard.close();
    return played;
  });
  return { seed, trace, simulator: simulated(services, trace), twin: played };
}

function reportOf(rounds: readonly Round[], services: readonly Service[]): Report {
  const gaps = rounds.map((round) => Math.abs(ratio(round, round.trace) - 1));
  const jobs = rounds.reduce((sum, { trace }) => sum + trace.length, 0);
  const most = Math.max(...rounds.map(({ twin }) => twin.peakMiB));
  return {
    tables: [flowTable(rounds), serviceTable(rounds, services), costTable(rounds)],
    verdicts: [
      {
        goal: "largest difference of mean flow between simulator and twin",
        kind: "most",
        limit: 100 * TOLERANCE,
        measured: 100 * Math.max(...gaps),
        unit: "%",
        digits: 1,
      },
      {
        goal: "most memory ever in use on the device",
        kind: "most",
        limit: DEVICE_MIB,
        measured: most,
        unit: "MiB",
      },
    ],
    notes: [
      `The mix of nine services on ${figure(DEVICE_MIB)} MiB at load ${LOAD}, ${jobs} jobs in all, ` +
        `every time divided by ${SCALE}; policy fair, one heavy job at a time.`,
      "Each service is a child process of the gateway that holds memory of a simulated device; the " +
        "jobs are sent over HTTP when their time has come and watched as event streams. Flow is " +
        "from the arrival in the trace until the client has the last event.",
      "What the twin has and the simulator has not: the way there and back, the commits, the loads' " +
        "and evictions' calls, and the probe's look before room counts as free. These do not " +
        `shrink with the scale: one millisecond here stands for ${SCALE} in life.`,
    ],
    raw: rounds.map(({ trace, simulator, twin, ...rest }) => ({
      ...rest,
      simulator: { ...simulator, flows: [...simulator.flows] },
      twin: { ...twin, flows: [...twin.flows] },
    })),
  };
}

function flowTable(rounds: readonly Round[]): Table {
  return {
    caption: "Mean flow, from arrival to end.",
    head: ["seed", "jobs", "simulator, ms", "twin, ms", "ratio", "loads", "evictions"],
    rows: rounds.map((round) => {
      const { seed, trace, simulator, twin } = round;
      return [
        `${seed}`,
        figure(trace.length),
        figure(meanFlowMs(simulator, trace)),
        figure(meanFlowMs(twin, trace)),
        figure(ratio(round, trace), 3),
        `${simulator.loads} and ${twin.loads}`,
        `${simulator.evictions} and ${twin.evictions}`,
      ];
    }),
  };
}

function serviceTable(rounds: readonly Round[], services: readonly Service[]): Table {
  const rows = services.flatMap(({ name }) => {
    let jobs = 0;
    let simulatorMs = 0;
    let twinMs = 0;
    for (const { trace, simulator, twin } of rounds) {
      const own = trace.filter(({ service }) => service === name);
      if (own.length === 0) continue;
      jobs += own.length;
      simulatorMs += meanFlowMs(simulator, own) * own.length;
      twinMs += meanFlowMs(twin, own) * own.length;
    }
    const means = [figure(simulatorMs / jobs), figure(twinMs / jobs)];
    const beyond = figure((twinMs - simulatorMs) / jobs, 1);
    return jobs === 0 ? [] : [[name, `${jobs}`, ...means, beyond]];
  });
  return {
    caption: "Mean flow by service, all seeds together.",
    head: ["service", "jobs", "simulator, ms", "twin, ms", "difference, ms"],
    rows,
  };
}

function costTable(rounds: readonly Round[]): Table {
  return {
    caption: "What loads and evictions cost beyond what the simulator knows, in milliseconds.",
    head: ["seed", "a load, beyond the declared", "an eviction, until it is seen"],
    rows: rounds.map(({ seed, twin: { loadOverheadsMs, evictionsMs } }) => [
      `${seed}`,
      spread(loadOverheadsMs, 1),
      spread(evictionsMs, 1),
    ]),
  };
}

function ratio({ simulator, twin }: Round, wanted: readonly Job[]): number {
  return meanFlowMs(twin, wanted) / meanFlowMs(simulator, wanted);
}
