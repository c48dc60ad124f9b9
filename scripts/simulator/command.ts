/** `bun run simulate`: reads the files, runs the product's scheduler on them, writes what came of it. */
import { flowBound } from "../../bench/scheduler/bound.ts";
import { loadPolicy } from "../../core/vram/policy/load.ts";
import { parseSimulateWords, SIMULATE_USAGE, UsageError } from "./arguments.ts";
import { createLineWriter, FileError, readServices, readTrace } from "./files.ts";
import type { TraceJob } from "./model.ts";
import { type Simulation, simulate } from "./simulator.ts";
import { gather, percentile, rounded } from "./summary.ts";

export interface Console {
  /** For people; results go to the file. */
  readonly say: (line: string) => void;
  readonly nowMs: () => number;
}

const PROGRESS_EVERY_MS = 5_000;
/** Looked at now and then: the clock costs more than a decision. */
const PROGRESS_EVERY_JOBS = 4_096;
/** Jobs that are named, of those that never ran. */
const NAMED_JOBS = 20;
/** Of the decisions' durations every one is kept up to this number, then the latest. */
const DECISIONS_KEPT = 1 << 20;

/** The exit code: 0 done; 1 a policy broke a rule or left jobs; 2 words or files are wrong. */
export async function runSimulate(words: readonly string[], console: Console): Promise<number> {
  if (words.includes("--help") || words.includes("-h")) {
    console.say(SIMULATE_USAGE);
    return 0;
  }
  try {
    return await run(words, console);
  } catch (error) {
    if (error instanceof UsageError) console.say(`${error.message}\n\n${SIMULATE_USAGE}`);
    else if (error instanceof FileError) console.say(error.message);
    else if (error instanceof Error) console.say(`the simulation stopped: ${error.message}`);
    else throw error;
    return error instanceof UsageError || error instanceof FileError ? 2 : 1;
  }
}

async function run(words: readonly string[], console: Console): Promise<number> {
  const given = parseSimulateWords(words);
  const policy = await loadPolicy(given.policy).catch((error) => {
    throw new UsageError(`--policy: ${error.message}`);
  });
  const services = readServices(given.services);
  const trace = readTrace(given.trace, services);
  const lines = createLineWriter(given.out);
  const gathered = gather(services);
  const decisions = timeDecisions(console.nowMs);
  const progress = watch(trace.length, console);
  const beganMs = console.nowMs();
  const { compute, devices, heavy, headroomMiB } = given;
  const simulation = simulate({
    ...{ services, devices, trace, compute, policy, heavy, headroomMiB },
    write(outcome, job) {
      lines.write(outcome);
      gathered.add(outcome, job);
      if (job) progress();
    },
    observe: decisions.observe,
  });
  const seconds = Math.max(1e-6, (console.nowMs() - beganMs) / 1_000);
  const figures = gathered.figures();
  const boundMs = flowBound(without(trace, simulation), devices.length);
  lines.write({
    type: "summary",
    policy: policy.name,
    ...{ compute, devices, heavy, headroom_mib: headroomMiB },
    jobs: trace.length,
    ...figures,
    /** Part of the devices' time until the last end in which a job ran. */
    busy_fraction: rounded(simulation.busyMs / Math.max(1, figures.makespan_ms * devices.length)),
    /** No schedule can have a smaller mean flow; see bench/scheduler/bound.ts. */
    flow_bound_ms: rounded(boundMs),
    flow_to_bound: rounded(boundMs === 0 ? 1 : figures.mean_flow_ms / boundMs),
    infeasible: simulation.infeasible.length,
    infeasible_jobs: named(simulation.infeasible),
    unfinished: simulation.unfinished.length,
    unfinished_jobs: named(simulation.unfinished),
    decision_p50_us: decisions.percentileUs(0.5),
    decision_p99_us: decisions.percentileUs(0.99),
    seconds: rounded(seconds),
    jobs_per_second: Math.round(trace.length / seconds),
  });
  lines.close();
  return report(simulation, trace, console);
}

function report({ infeasible, unfinished }: Simulation, trace: readonly TraceJob[], to: Console) {
  if (infeasible.length > 0) {
    const services = [...new Set(infeasible.map(({ service }) => service))].join(", ");
    to.say(
      `${infeasible.length} of ${trace.length} jobs fit on no device (${services}): left out.`,
    );
  }
  if (unfinished.length === 0) return 0;
  to.say(`The policy left ${unfinished.length} of ${trace.length} jobs waiting for ever.`);
  return 1;
}

function without(trace: readonly TraceJob[], { infeasible, unfinished }: Simulation): TraceJob[] {
  const gone = new Set([...infeasible, ...unfinished]);
  return gone.size === 0 ? [...trace] : trace.filter((job) => !gone.has(job));
}

function named(jobs: readonly TraceJob[]): string[] {
  return jobs.slice(0, NAMED_JOBS).map(({ id }) => id);
}

function timeDecisions(nowMs: () => number) {
  const kept = new Float64Array(DECISIONS_KEPT);
  let count = 0;
  let beganMs = 0;
  return {
    observe(event: "before" | "after"): void {
      if (event === "before") beganMs = nowMs();
      else kept[count++ % DECISIONS_KEPT] = nowMs() - beganMs;
    },
    percentileUs(part: number): number {
      const all = Array.from(kept.subarray(0, Math.min(count, DECISIONS_KEPT)));
      return rounded(percentile(all, part) * 1_000);
    },
  };
}

function watch(total: number, { say, nowMs }: Console): () => void {
  let finished = 0;
  let nextMs = nowMs() + PROGRESS_EVERY_MS;
  return () => {
    if (++finished % PROGRESS_EVERY_JOBS !== 0 || nowMs() < nextMs) return;
    nextMs = nowMs() + PROGRESS_EVERY_MS;
    say(`${finished} of ${total} jobs, ${Math.floor((100 * finished) / total)} %`);
  };
}
