/**
 * The exact optimum of a small instance on one exclusive lane: the least mean flow, and the least
 * makespan, that any schedule could reach which knows everything in advance and never preempts.
 *
 * A dynamic programme over (jobs done, residents) with labels (time, total flow), of which only
 * those remain that no other of the same state beats in both. Why nothing better is left out:
 * - Evictions are free, so a load keeps a maximal set of residents that fits: who keeps less can do
 *   nothing that who keeps more cannot.
 * - A load that ends while the next job of another service has already arrived may be exchanged
 *   with that job: the job ends earlier, the load at the same time. So loads precede a job that is
 *   not theirs only while the lane would otherwise idle (`prefetch`).
 * - When every job left has arrived, jobs of one service go in order of their run times: exchanging
 *   two of them moves everything between them earlier, and nothing after them.
 * - A resident of which no job is left is forgotten.
 */
import type { Job, Service } from "./format.ts";

export interface LaneInstance {
  readonly services: readonly Service[];
  readonly jobs: readonly Job[];
  readonly deviceMib: number;
}

export interface LaneOptimum {
  readonly meanFlowMs: number;
  /** The least time from 0 to the end of the last job, of a schedule of its own. */
  readonly makespanMs: number;
}

/**
 * `any`: idle time may be used for every load, which is the true optimum. `next`: only the load of
 * the job that is run next may precede its arrival; slightly worse, and what published ratios of
 * this kind were taken against.
 */
export type Prefetch = "any" | "next";

const JOB_LIMIT = 20;

/** Throws for more than 20 jobs or a job whose service does not fit. Nothing is resident at 0. */
export function laneOptimum(instance: LaneInstance, prefetch: Prefetch = "any"): LaneOptimum {
  if (instance.jobs.length === 0) return { meanFlowMs: 0, makespanMs: 0 };
  const table = compile(instance);
  const { full } = table;
  const states: (States | undefined)[] = new Array(full + 1);
  states[0] = new Map([[0, [0, 0]]]);
  for (let done = 0; done < full; done++) {
    const here = states[done];
    if (here === undefined) continue;
    states[done] = undefined;
    if (prefetch === "any") addPrefetches(table, done, here);
    for (const [residents, labels] of here) {
      for (let at = 0; at < labels.length; at += 2) {
        expand(table, states, done, residents, labels[at]!, labels[at + 1]!, prefetch);
      }
    }
  }
  let flowMs = Number.POSITIVE_INFINITY;
  let makespanMs = Number.POSITIVE_INFINITY;
  for (const labels of states[full]?.values() ?? []) {
    makespanMs = Math.min(makespanMs, labels[0]!);
    flowMs = Math.min(flowMs, labels[labels.length - 1]!);
  }
  return { meanFlowMs: flowMs / instance.jobs.length, makespanMs };
}

/** Residents (bits of services) to labels: time, flow, time, flow …, times up, flows down. */
type States = Map<number, number[]>;

interface Table {
  readonly full: number;
  readonly service: Int32Array;
  readonly release: Float64Array;
  readonly run: Float64Array;
  readonly load: Float64Array;
  /** By jobs done: the services still needed, and the last arrival to come. */
  readonly needed: Int32Array;
  readonly lastRelease: Float64Array;
  /** The maximal sets of `residents` that fit beside `service`. */
  keeps(residents: number, service: number): readonly number[];
}

function compile({ services, jobs, deviceMib }: LaneInstance): Table {
  if (jobs.length > JOB_LIMIT) {
    throw new Error(`${jobs.length} jobs are too many for an exact optimum; ${JOB_LIMIT} is most.`);
  }
  // By service and run time, so that the first job left of a service is its shortest.
  const sorted = [...jobs].sort(
    (a, b) => a.service.localeCompare(b.service) || a.run_ms - b.run_ms || a.at_ms - b.at_ms,
  );
  const used = [...new Set(sorted.map(({ service }) => service))].map((name) => {
    const found = services.find((service) => service.name === name);
    if (found === undefined || found.vram_mib > deviceMib) {
      throw new Error(`Service "${name}" is unknown or needs more than ${deviceMib} MiB.`);
    }
    return found;
  });
  const service = Int32Array.from(sorted, (job) => used.findIndex((s) => s.name === job.service));
  const full = 2 ** jobs.length - 1;
  const needed = new Int32Array(full + 1);
  const lastRelease = new Float64Array(full + 1);
  for (let done = full - 1; done >= 0; done--) {
    const job = 31 - Math.clz32(full & ~done);
    const more = done | (1 << job);
    needed[done] = needed[more]! | (1 << service[job]!);
    lastRelease[done] = Math.max(lastRelease[more]!, sorted[job]!.at_ms);
  }
  return {
    full,
    service,
    release: Float64Array.from(sorted, ({ at_ms }) => at_ms),
    run: Float64Array.from(sorted, ({ run_ms }) => run_ms),
    load: Float64Array.from(used, ({ load_ms }) => load_ms),
    needed,
    lastRelease,
    keeps: maximalKeeps(
      used.map(({ vram_mib }) => vram_mib),
      deviceMib,
    ),
  };
}

/** Adds every state that loads alone can reach, while some job is still to come. */
function addPrefetches(table: Table, done: number, here: States): void {
  const needed = table.needed[done]!;
  const last = table.lastRelease[done]!;
  const open: [residents: number, time: number, flow: number][] = [];
  for (const [residents, labels] of here) {
    for (let at = 0; at < labels.length; at += 2) {
      open.push([residents, labels[at]!, labels[at + 1]!]);
    }
  }
  for (let label = open.pop(); label !== undefined; label = open.pop()) {
    const [residents, time, flow] = label;
    if (time >= last) continue;
    for (let left = needed & ~residents; left !== 0; left &= left - 1) {
      const service = 31 - Math.clz32(left & -left);
      const loaded = time + table.load[service]!;
      for (const kept of table.keeps(residents, service)) {
        const now = kept | (1 << service);
        if (insert(labelsOf(here, now), loaded, flow)) open.push([now, loaded, flow]);
      }
    }
  }
}

/** Runs every job that may come next, with the load that it needs. */
function expand(
  table: Table,
  states: (States | undefined)[],
  done: number,
  residents: number,
  time: number,
  flow: number,
  prefetch: Prefetch,
): void {
  const { service, release, run, load, needed } = table;
  const allHere = time >= table.lastRelease[done]!;
  let seen = 0;
  for (let left = table.full & ~done; left !== 0; left &= left - 1) {
    const job = 31 - Math.clz32(left & -left);
    const own = service[job]!;
    const bit = 1 << own;
    if (allHere && (seen & bit) !== 0) continue;
    seen |= bit;
    const next = done | (1 << job);
    const still = needed[next]!;
    if ((residents & bit) !== 0) {
      const end = Math.max(time, release[job]!) + run[job]!;
      insert(labelsAt(states, next, residents & still), end, flow + end - release[job]!);
    } else if (allHere || prefetch === "next") {
      const end = Math.max(time + load[own]!, release[job]!) + run[job]!;
      for (const kept of table.keeps(residents, own)) {
        insert(labelsAt(states, next, (kept | bit) & still), end, flow + end - release[job]!);
      }
    }
  }
}

function labelsAt(states: (States | undefined)[], done: number, residents: number): number[] {
  let here = states[done];
  if (here === undefined) {
    here = new Map();
    states[done] = here;
  }
  return labelsOf(here, residents);
}

function labelsOf(here: States, residents: number): number[] {
  let labels = here.get(residents);
  if (labels === undefined) {
    labels = [];
    here.set(residents, labels);
  }
  return labels;
}

/** Puts a label in its place unless another is as good in both; removes those that it beats. */
function insert(labels: number[], time: number, flow: number): boolean {
  let at = labels.length;
  while (at > 0 && labels[at - 2]! > time) at -= 2;
  if (at > 0 && labels[at - 1]! <= flow) return false;
  let from = at;
  if (from > 0 && labels[from - 2] === time) from -= 2;
  let to = at;
  while (to < labels.length && labels[to + 1]! >= flow) to += 2;
  labels.splice(from, to - from, time, flow);
  return true;
}

function maximalKeeps(sizes: readonly number[], deviceMib: number): Table["keeps"] {
  const known = new Map<number, readonly number[]>();
  const sizeOf = (set: number) =>
    sizes.reduce((sum, size, index) => sum + ((set >> index) & 1 ? size : 0), 0);
  return (residents, service) => {
    const key = residents * 32 + service;
    const found = known.get(key);
    if (found !== undefined) return found;
    const room = deviceMib - sizes[service]!;
    const maximal: number[] = [];
    // Subsets come before the sets that contain them only in reverse: from all of them downwards.
    for (let set = residents; ; set = (set - 1) & residents) {
      if (sizeOf(set) <= room && !maximal.some((larger) => (larger & set) === set)) {
        maximal.push(set);
      }
      if (set === 0) break;
    }
    known.set(key, maximal);
    return maximal;
  };
}
