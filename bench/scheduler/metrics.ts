/** The figures by which a result is compared: flow, waits, loads. All times are in ms. */
import {
  HEAVY_MS,
  type Job,
  type JobLine,
  type LoadLine,
  type ResultLine,
  type Service,
} from "./format.ts";

export interface Metrics {
  readonly jobs: number;
  /** From arrival to end. */
  readonly meanFlowMs: number;
  /** Waits go from arrival to start. */
  readonly meanWaitMs: number;
  readonly p95WaitMs: number;
  readonly maxWaitMs: number;
  /** The mean of max(1, (wait + run) / max(run, 10 s)). */
  readonly boundedSlowdown: number;
  /** Flow without the own work, of services with at most 10 s of expected run time. */
  readonly interactiveDelayP95Ms: number;
  readonly loadsPer100Jobs: number;
  readonly loadSeconds: number;
  readonly mibLoadedPerJob: number;
  /** The share of the devices' time, from 0 to the last end, in which a job ran. */
  readonly busyShare: number;
  /** The end of the last job. */
  readonly makespanMs: number;
  /** The most loads that were under way at once on one device. */
  readonly parallelLoads: number;
  readonly byService: Readonly<Record<string, ServiceMetrics>>;
}

export interface ServiceMetrics {
  readonly jobs: number;
  readonly meanFlowMs: number;
  readonly p95FlowMs: number;
  readonly meanWaitMs: number;
  readonly maxWaitMs: number;
}

interface Run {
  readonly job: Job;
  readonly waitMs: number;
  readonly flowMs: number;
}

/** Jobs that never ran, or that nobody asked for, are left out: the judge names them. */
export function measure(
  services: readonly Service[],
  jobs: readonly Job[],
  lines: readonly ResultLine[],
): Metrics {
  const byId = new Map(jobs.map((job) => [job.id, job]));
  const byName = new Map(services.map((service) => [service.name, service]));
  const jobLines = lines.filter((line): line is JobLine => line.type === "job");
  const loads = lines.filter((line): line is LoadLine => line.type === "load");
  const runs = jobLines.flatMap((line): Run[] => {
    const job = byId.get(line.id);
    if (job === undefined) return [];
    return [{ job, waitMs: line.start_ms - job.at_ms, flowMs: line.end_ms - job.at_ms }];
  });
  const waits = runs.map(({ waitMs }) => waitMs);
  const light = runs.filter(({ job }) => (byName.get(job.service)?.run_ms ?? 0) <= HEAVY_MS);
  const makespanMs = largest(jobLines.map(({ end_ms }) => end_ms));
  const mib = loads.map(({ service }) => byName.get(service)?.vram_mib ?? 0);
  return {
    jobs: runs.length,
    meanFlowMs: mean(runs.map(({ flowMs }) => flowMs)),
    meanWaitMs: mean(waits),
    p95WaitMs: share95(waits),
    maxWaitMs: largest(waits),
    boundedSlowdown: mean(runs.map(slowdown)),
    interactiveDelayP95Ms: share95(light.map(({ job, flowMs }) => flowMs - job.run_ms)),
    loadsPer100Jobs: (100 * loads.length) / Math.max(1, runs.length),
    loadSeconds: sum(loads.map(({ start_ms, end_ms }) => end_ms - start_ms)) / 1_000,
    mibLoadedPerJob: sum(mib) / Math.max(1, runs.length),
    busyShare: busyShare(jobLines, makespanMs),
    makespanMs,
    parallelLoads: largest(byDevice(loads).map(mostAtOnce)),
    byService: Object.fromEntries(
      services.map(({ name }) => [name, ofService(runs.filter(({ job }) => job.service === name))]),
    ),
  };
}

/** The value below which 95 % lie; 0 for none. */
export function share95(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(sorted.length * 0.95) - 1)] ?? 0;
}

export function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : sum(values) / values.length;
}

/** How many of the intervals overlap at most; one that ends where another begins does not. */
export function mostAtOnce(
  intervals: readonly { readonly start_ms: number; readonly end_ms: number }[],
): number {
  const starts = Float64Array.from(intervals, ({ start_ms }) => start_ms).sort();
  const ends = Float64Array.from(intervals, ({ end_ms }) => end_ms).sort();
  let ended = 0;
  let most = 0;
  starts.forEach((start, started) => {
    while (ended < ends.length && ends[ended]! <= start) ended++;
    most = Math.max(most, started + 1 - ended);
  });
  return most;
}

function ofService(runs: readonly Run[]): ServiceMetrics {
  const flows = runs.map(({ flowMs }) => flowMs);
  const waits = runs.map(({ waitMs }) => waitMs);
  return {
    jobs: runs.length,
    meanFlowMs: mean(flows),
    p95FlowMs: share95(flows),
    meanWaitMs: mean(waits),
    maxWaitMs: largest(waits),
  };
}

function slowdown({ job, waitMs }: Run): number {
  return Math.max(1, (waitMs + job.run_ms) / Math.max(job.run_ms, 10_000));
}

function busyShare(jobLines: readonly JobLine[], makespanMs: number): number {
  const devices = byDevice(jobLines);
  let busyMs = 0;
  for (const lines of devices) {
    let until = 0;
    for (const { start_ms, end_ms } of [...lines].sort((a, b) => a.start_ms - b.start_ms)) {
      busyMs += Math.max(0, end_ms - Math.max(until, start_ms));
      until = Math.max(until, end_ms);
    }
  }
  return makespanMs === 0 ? 0 : busyMs / (makespanMs * devices.length);
}

/** Devices without a line are not known here, and do not count. */
function byDevice<T extends { readonly device: number }>(lines: readonly T[]): T[][] {
  return [...Map.groupBy(lines, ({ device }) => device).values()];
}

function sum(values: readonly number[]): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function largest(values: readonly number[]): number {
  let found = 0;
  for (const value of values) found = Math.max(found, value);
  return found;
}
