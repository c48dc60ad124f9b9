/** The exact optimum of the lane, beside a search that tries everything. */
import { describe, expect, test } from "bun:test";
import { flowBound } from "../../../bench/scheduler/bound.ts";
import type { Job, Service } from "../../../bench/scheduler/format.ts";
import { DEVICE_MIB } from "../../../bench/scheduler/mix.ts";
import { type LaneInstance, laneOptimum } from "../../../bench/scheduler/optimum.ts";
import { createRandom } from "../../../bench/scheduler/prng.ts";
import { batchInstance, onlineInstance } from "../../../bench/scheduler/workloads.ts";
import { tryEverySchedule } from "./brute-force.ts";

/** Small whole numbers, so that ties and exact fits happen often. */
function smallWorld(seed: number, count: number, latest: number): LaneInstance {
  const random = createRandom(seed);
  const services: Service[] = Array.from({ length: 2 + random.below(3) }, (_, index) => ({
    name: `s${index}`,
    vram_mib: 1 + random.below(7),
    load_ms: random.below(9),
    run_ms: 5,
  }));
  const jobs: Job[] = Array.from({ length: count }, (_, index) => ({
    id: `${index}`,
    at_ms: random.below(latest + 1),
    service: services[random.below(services.length)]!.name,
    run_ms: 1 + random.below(9),
  }));
  return { services, jobs, deviceMib: 7 + random.below(5) };
}

describe("the optimum of a lane", () => {
  test("no schedule is better, and one is as good, where all jobs are there at once", () => {
    for (let seed = 1; seed <= 150; seed++) {
      const world = smallWorld(seed, 2 + (seed % 4), 0);
      const best = tryEverySchedule(world);
      const { meanFlowMs, makespanMs } = laneOptimum(world);
      expect([seed, meanFlowMs * world.jobs.length]).toEqual([seed, best.totalFlowMs]);
      expect([seed, makespanMs]).toEqual([seed, best.makespanMs]);
    }
  });

  test("no schedule is better, and one is as good, where jobs arrive one by one", () => {
    for (let seed = 1; seed <= 250; seed++) {
      const world = smallWorld(1_000 + seed, 2 + (seed % 4), 10 * (1 + (seed % 4)));
      const best = tryEverySchedule(world);
      const { meanFlowMs, makespanMs } = laneOptimum(world);
      expect([seed, Math.round(meanFlowMs * world.jobs.length)]).toEqual([seed, best.totalFlowMs]);
      expect([seed, makespanMs]).toEqual([seed, best.makespanMs]);
    }
  });

  test("a load in idle time before another service's job is used", () => {
    const services = [service("a", 1, 5), service("b", 1, 5)];
    const jobs = [job("1", 10, "a", 1), job("2", 10, "b", 1)];
    const world = { services, jobs, deviceMib: 2 };
    expect(laneOptimum(world).meanFlowMs).toBe(1.5);
    expect(laneOptimum(world, "next").meanFlowMs).toBe(4);
  });

  test("looking ahead only for the next job is never better, and with a batch the same", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const online = { ...onlineInstance(seed, 8, 1), deviceMib: DEVICE_MIB };
      const batch = { ...batchInstance(seed, 8), deviceMib: DEVICE_MIB };
      expect(laneOptimum(online, "next").meanFlowMs).toBeGreaterThanOrEqual(
        laneOptimum(online).meanFlowMs,
      );
      expect(laneOptimum(batch, "next")).toEqual(laneOptimum(batch));
    }
  });

  test("the bound without loads lies below it", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const world = { ...onlineInstance(seed, 9, 1), deviceMib: DEVICE_MIB };
      expect(flowBound(world.jobs)).toBeLessThanOrEqual(laneOptimum(world).meanFlowMs);
    }
  });

  test("twelve jobs are a matter of milliseconds", () => {
    const startMs = performance.now();
    for (let seed = 1; seed <= 5; seed++) {
      laneOptimum({ ...onlineInstance(seed, 12, 1), deviceMib: DEVICE_MIB });
    }
    expect((performance.now() - startMs) / 5).toBeLessThan(2_000);
  });

  test("a job that fits nowhere, and too many jobs, are refused with the reason", () => {
    const large = { services: [service("a", 9, 1)], jobs: [job("1", 0, "a", 1)], deviceMib: 8 };
    expect(() => laneOptimum(large)).toThrow("8 MiB");
    expect(() => laneOptimum({ ...batchInstance(1, 21), deviceMib: DEVICE_MIB })).toThrow("21");
  });
});

function service(name: string, vram_mib: number, load_ms: number): Service {
  return { name, vram_mib, load_ms, run_ms: 1 };
}

function job(id: string, at_ms: number, name: string, run_ms: number): Job {
  return { id, at_ms, service: name, run_ms };
}
