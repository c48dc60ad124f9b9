/** The lower bound of mean flow: exact for one machine, below every result for several. */
import { describe, expect, test } from "bun:test";
import { BASELINES, runBaseline } from "../../../bench/scheduler/baselines.ts";
import { flowBound } from "../../../bench/scheduler/bound.ts";
import type { Job } from "../../../bench/scheduler/format.ts";
import { measure } from "../../../bench/scheduler/metrics.ts";
import { DEVICE_MIB, generate, mixServices } from "../../../bench/scheduler/mix.ts";
import { createRandom } from "../../../bench/scheduler/prng.ts";

function randomJobs(seed: number, count: number): Job[] {
  const random = createRandom(seed);
  return Array.from({ length: count }, (_, index) => ({
    id: `${index}`,
    at_ms: random.below(20),
    service: "a",
    run_ms: 1 + random.below(8),
  }));
}

/** The best total flow when every ms goes to some job: found by trying every job at every ms. */
function tryEveryMillisecond(jobs: readonly Job[], devices: number): number {
  const known = new Map<string, number>();
  const follow = (now: number, left: readonly number[]): number => {
    if (left.every((ms) => ms === 0)) return 0;
    const key = `${now} ${left}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    const here = left.flatMap((ms, index) => (ms > 0 && jobs[index]!.at_ms <= now ? [index] : []));
    let least = Number.POSITIVE_INFINITY;
    for (const chosen of choices(here, devices)) {
      const after = left.map((ms, index) => (chosen.includes(index) ? ms - 1 : ms));
      least = Math.min(least, here.length + follow(now + 1, after));
    }
    known.set(key, least);
    return least;
  };
  return follow(
    0,
    jobs.map(({ run_ms }) => run_ms),
  );
}

/** All sets of `count` of them, or all of them where there are no more. */
function choices(of: readonly number[], count: number): number[][] {
  if (count === 0 || of.length <= count) return [count === 0 ? [] : [...of]];
  const [first, ...rest] = of;
  return [...choices(rest, count - 1).map((set) => [first!, ...set]), ...choices(rest, count)];
}

describe("the bound", () => {
  test("with one device is the least flow of a preemptive machine", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const jobs = randomJobs(seed, 4);
      const least = tryEveryMillisecond(jobs, 1);
      expect([seed, Math.round(flowBound(jobs) * 4)]).toEqual([seed, least]);
    }
  });

  test("with several devices stays below every preemptive schedule, and not far", () => {
    const ratios: number[] = [];
    for (let seed = 1; seed <= 60; seed++) {
      const jobs = randomJobs(seed, 4);
      const devices = 2 + (seed % 2);
      const least = tryEveryMillisecond(jobs, devices) / 4;
      expect(flowBound(jobs, devices)).toBeLessThanOrEqual(least + 1e-9);
      ratios.push(flowBound(jobs, devices) / least);
    }
    expect(ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length).toBeGreaterThan(0.8);
  });

  test("is never below the jobs' own work", () => {
    const jobs = randomJobs(3, 30);
    const work = jobs.reduce((sum, { run_ms }) => sum + run_ms, 0) / 30;
    expect(flowBound(jobs, 30)).toBeCloseTo(work, 6);
    expect(flowBound(jobs, 1_000)).toBe(work);
  });

  test("no baseline gets below it, with one device or four", () => {
    for (const devices of [1, 2, 4]) {
      const arrivals = { kind: "gamma", cv: 3 } as const;
      const jobs = generate({ seed: 5, jobs: 800, load: 0.5, stickiness: 0.5, arrivals, devices });
      const bound = flowBound(jobs, devices);
      for (const baseline of BASELINES) {
        const services = mixServices();
        const devicesMib = Array.from({ length: devices }, () => DEVICE_MIB);
        const lines = runBaseline(baseline, { services, jobs, devicesMib, compute: "shared" });
        expect(measure(services, jobs, lines).meanFlowMs).toBeGreaterThan(bound);
      }
    }
  });

  test("of no jobs is 0", () => {
    expect(flowBound([])).toBe(0);
  });
});
