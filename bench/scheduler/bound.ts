/**
 * A lower bound of the mean flow that any schedule can reach on `devices` devices, in O(n log n):
 * loads cost nothing, memory is endless, everything may be preempted.
 *
 * Why it bounds both compute models: a device works at speed 1 at most (lane: one job at speed 1;
 * shared: 1 alone, 0.95 in all otherwise), and a job runs on one device. So in every schedule the
 * jobs' speeds sum to m = `devices` at most, and each is at most 1. Three relaxations of that:
 *
 * 1. One machine of speed m that shares itself out as it likes: keeps the sum, drops the cap of
 *    each job. Running the job with the least work left minimises total flow there (Schrage 1968:
 *    at every moment at least as many jobs are done as under any other allocation). With one device
 *    the cap says nothing more, and the bound is the exact optimum of the relaxed problem.
 * 2. A job's flow is at least its run time, as its speed is at most 1: total flow >= sum of p_j.
 * 3. Mean busy times. Let M_j be the mean time at which job j is worked on: the integral of
 *    t x_j(t) / p_j dt with x_j its speed. As x_j <= 1, M_j is largest for a given end C_j when j
 *    runs at full speed up to its end: C_j >= M_j + p_j / 2. The sum of M_j over all allocations of
 *    a machine of speed m is least when it always runs the available job with the least p_j (each
 *    bit of work dx at time t costs t / p_j, so an exchange of two bits shows it; Goemans 1997). So
 *    total flow >= sum of (M_j - r_j + p_j / 2) in that schedule.
 *
 * The largest of the three is returned; for one device that is always the first.
 */
import type { Job } from "./format.ts";

/** The mean flow in ms below which no schedule of these jobs can come; 0 for no jobs. */
export function flowBound(jobs: readonly Job[], devices = 1): number {
  if (jobs.length === 0) return 0;
  const sorted = [...jobs].sort((a, b) => a.at_ms - b.at_ms);
  const fluid = relaxed(sorted, devices, "left").flowMs;
  if (devices === 1) return fluid / jobs.length;
  const workMs = jobs.reduce((sum, { run_ms }) => sum + run_ms, 0);
  const busy = relaxed(sorted, devices, "whole").busyMs + workMs / 2;
  return Math.max(fluid, workMs, busy) / jobs.length;
}

interface Relaxed {
  /** The sum of flows. */
  readonly flowMs: number;
  /** The sum of mean busy times, each from its job's arrival. */
  readonly busyMs: number;
}

/** A preemptive machine of some speed; first goes the least work `left`, or the least `whole`. */
function relaxed(sorted: readonly Job[], speed: number, first: "left" | "whole"): Relaxed {
  const open = createHeap();
  let now = 0;
  let flowMs = 0;
  let busyMs = 0;
  let next = 0;
  while (next < sorted.length || open.size() > 0) {
    if (open.size() === 0) now = Math.max(now, sorted[next]!.at_ms);
    for (let job = sorted[next]; job !== undefined && job.at_ms <= now; job = sorted[next]) {
      open.push({ rank: job.run_ms, left: job.run_ms, job });
      next++;
    }
    const entry = open.pop()!;
    const until = sorted[next]?.at_ms ?? Number.POSITIVE_INFINITY;
    const spent = Math.min(entry.left / speed, until - now);
    const share = entry.job.run_ms > 0 ? (spent * speed) / entry.job.run_ms : 0;
    busyMs += share * (now + spent / 2 - entry.job.at_ms);
    const ends = entry.left / speed <= until - now;
    now = ends ? now + spent : until;
    if (ends) {
      flowMs += now - entry.job.at_ms;
    } else {
      entry.left -= spent * speed;
      if (first === "left") entry.rank = entry.left;
      open.push(entry);
    }
  }
  return { flowMs, busyMs };
}

interface Entry {
  rank: number;
  left: number;
  readonly job: Job;
}

interface Heap {
  size(): number;
  push(entry: Entry): void;
  pop(): Entry | undefined;
}

/** A binary heap, the least rank on top. */
function createHeap(): Heap {
  const heap: Entry[] = [];
  return {
    size: () => heap.length,
    push(entry) {
      let at = heap.length;
      heap.push(entry);
      while (at > 0) {
        const parent = (at - 1) >> 1;
        if (heap[parent]!.rank <= entry.rank) break;
        heap[at] = heap[parent]!;
        at = parent;
      }
      heap[at] = entry;
    },
    pop() {
      const top = heap[0];
      const last = heap.pop();
      if (last === undefined || heap.length === 0) return top;
      let at = 0;
      for (;;) {
        let child = 2 * at + 1;
        if (child >= heap.length) break;
        if (child + 1 < heap.length && heap[child + 1]!.rank < heap[child]!.rank) child++;
        if (heap[child]!.rank >= last.rank) break;
        heap[at] = heap[child]!;
        at = child;
      }
      heap[at] = last;
      return top;
    },
  };
}
