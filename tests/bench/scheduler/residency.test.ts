/** The least load time of a fixed order, beside a search that tries every eviction. */
import { describe, expect, test } from "bun:test";
import { DEVICE_MIB, generate, mixServices } from "../../../bench/scheduler/mix.ts";
import { createRandom } from "../../../bench/scheduler/prng.ts";
import {
  type ResidencyInstance,
  type ResidencyRule,
  residencyCost,
  residencyOptimum,
} from "../../../bench/scheduler/residency.ts";
import { tryEveryEviction } from "./brute-force.ts";

const RULES: readonly ResidencyRule[] = ["one", "lru", "landlord", "gdsf", "belady", "belady-cost"];

function smallWorld(seed: number): ResidencyInstance {
  const random = createRandom(seed);
  const services = Array.from({ length: 4 }, (_, index) => ({
    name: `s${index}`,
    vram_mib: 1 + random.below(6),
    load_ms: 1 + random.below(9),
    run_ms: 1,
  }));
  const order = Array.from({ length: 7 }, () => services[random.below(4)]!.name);
  return { services, order, deviceMib: 6 + random.below(6) };
}

function mixWorld(seed: number, deviceMib = DEVICE_MIB): ResidencyInstance {
  const wish = { seed, jobs: 3_000, load: 0.5, stickiness: 0.5 };
  const order = generate({ ...wish, arrivals: { kind: "poisson" } }).map(({ service }) => service);
  return { services: mixServices(), order, deviceMib };
}

describe("the residency optimum", () => {
  test("is what trying every eviction finds", () => {
    for (let seed = 1; seed <= 150; seed++) {
      const world = smallWorld(seed);
      expect([seed, residencyOptimum(world)]).toEqual([seed, tryEveryEviction(world)]);
    }
  });

  test("no rule pays less", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const world = smallWorld(seed);
      const least = residencyOptimum(world);
      for (const rule of RULES) {
        expect(residencyCost(world, rule)).toBeGreaterThanOrEqual(least);
      }
    }
  });

  test("on 24 GB the rules stand as published: 2.4, 1.36, 1.38, 1.26, 1.15, 1.10", () => {
    const ratios = RULES.map((rule) => {
      const of = [1, 2, 3, 4, 5].map((seed) => {
        const world = mixWorld(seed);
        return residencyCost(world, rule) / residencyOptimum(world);
      });
      return of.reduce((sum, ratio) => sum + ratio, 0) / of.length;
    });
    [2.4, 1.36, 1.38, 1.26, 1.15, 1.1].forEach((published, index) => {
      expect(Math.abs(ratios[index]! / published - 1)).toBeLessThan(0.05);
    });
  });

  test("with room for all, each service is loaded once", () => {
    const world = mixWorld(1, 200_000);
    const loads = new Set(world.order);
    const once = world.services
      .filter(({ name }) => loads.has(name))
      .reduce((sum, { load_ms }) => sum + load_ms, 0);
    expect(residencyOptimum(world)).toBe(once);
    expect(residencyCost(world, "lru")).toBe(once);
  });
});

describe("the rules", () => {
  const services = [
    { name: "cheap", vram_mib: 2, load_ms: 1, run_ms: 1 },
    { name: "dear", vram_mib: 2, load_ms: 100, run_ms: 1 },
    { name: "third", vram_mib: 2, load_ms: 10, run_ms: 1 },
  ];

  test("LRU drops the longest unused, GDSF the one that is cheap to bring back", () => {
    const order = ["dear", "cheap", "third", "dear"];
    const world = { services, order, deviceMib: 4 };
    expect(residencyCost(world, "lru")).toBe(211);
    expect(residencyCost(world, "gdsf")).toBe(111);
  });

  test("Belady drops what is needed last, whatever it costs", () => {
    const order = ["dear", "cheap", "third", "cheap", "dear"];
    const world = { services, order, deviceMib: 4 };
    expect(residencyCost(world, "belady")).toBe(211);
    expect(residencyCost(world, "belady-cost")).toBe(112);
  });
});
