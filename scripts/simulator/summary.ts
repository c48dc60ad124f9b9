/** The figures of a simulation, gathered while it runs: the last line of its result. */
import type { EvictOutcome, JobOutcome, LoadOutcome, Outcome, Service, TraceJob } from "./model.ts";

export interface Figures {
  readonly finished: number;
  /** From arrival to end. */
  readonly mean_flow_ms: number;
  /** From arrival to start. */
  readonly mean_wait_ms: number;
  readonly p95_wait_ms: number;
  readonly max_wait_ms: number;
  /** The mean of max(1, (wait + run) / max(run, 10 s)). */
  readonly bounded_slowdown: number;
  /** Flow less own work, of services that are expected to run 10 s at most. */
  readonly interactive_p95_ms: number;
  readonly loads: number;
  readonly loads_per_100_jobs: number;
  readonly load_seconds: number;
  readonly mib_loaded_per_job: number;
  readonly evictions: number;
  /** Loads that left before they served a job. */
  readonly wasted_loads: number;
  readonly makespan_ms: number;
}

export interface Gathered {
  add(outcome: Outcome, job?: TraceJob): void;
  figures(): Figures;
}

/** The shortest run that slowdown is measured against: below it, waiting hardly counts. */
const BOUND_MS = 10_000;
const INTERACTIVE_MS = 10_000;

export function gather(services: readonly Service[]): Gathered {
  const byName = new Map(services.map((service) => [service.name, service]));
  const waits: number[] = [];
  const interactive: number[] = [];
  /** Jobs since the load, by service and device. */
  const served = new Map<string, number>();
  const sums = { flow: 0, slowdown: 0, loadMs: 0, mib: 0 };
  const counts = { loads: 0, evictions: 0, wasted: 0 };
  let endMs = 0;

  function addJob({ device, start_ms, end_ms }: JobOutcome, job: TraceJob): void {
    const waitMs = start_ms - job.at_ms;
    const flowMs = end_ms - job.at_ms;
    waits.push(waitMs);
    sums.flow += flowMs;
    sums.slowdown += Math.max(1, (waitMs + job.run_ms) / Math.max(job.run_ms, BOUND_MS));
    const expectedMs = byName.get(job.service)?.run_ms ?? 0;
    if (expectedMs <= INTERACTIVE_MS) interactive.push(flowMs - job.run_ms);
    const name = `${device} ${job.service}`;
    served.set(name, (served.get(name) ?? 0) + 1);
    endMs = Math.max(endMs, end_ms);
  }

  function addLoad({ device, service, start_ms, end_ms }: LoadOutcome): void {
    counts.loads++;
    sums.loadMs += end_ms - start_ms;
    sums.mib += byName.get(service)?.vram_mib ?? 0;
    served.set(`${device} ${service}`, 0);
  }

  function addEviction({ device, service }: EvictOutcome): void {
    counts.evictions++;
    if (served.get(`${device} ${service}`) === 0) counts.wasted++;
  }

  return {
    add(outcome, job) {
      if (outcome.type === "evict") addEviction(outcome);
      else if (outcome.type === "load") addLoad(outcome);
      else if (job) addJob(outcome, job);
    },
    figures() {
      const finished = waits.length;
      const each = (sum: number) => rounded(sum / Math.max(1, finished));
      return {
        finished,
        mean_flow_ms: each(sums.flow),
        mean_wait_ms: each(waits.reduce((sum, wait) => sum + wait, 0)),
        p95_wait_ms: rounded(percentile(waits, 0.95)),
        max_wait_ms: rounded(percentile(waits, 1)),
        bounded_slowdown: each(sums.slowdown),
        interactive_p95_ms: rounded(percentile(interactive, 0.95)),
        loads: counts.loads,
        loads_per_100_jobs: each(counts.loads * 100),
        load_seconds: rounded(sums.loadMs / 1_000),
        mib_loaded_per_job: each(sums.mib),
        evictions: counts.evictions,
        wasted_loads: counts.wasted,
        makespan_ms: rounded(endMs),
      };
    },
  };
}

/** The least value that this part of all values does not exceed; 0 of none. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? 0;
}

export function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
