/** The baselines: each does what its program does, and the published ratios come out again. */
import { describe, expect, test } from "bun:test";
import { BASELINES, type Baseline, runBaseline } from "../../../bench/scheduler/baselines.ts";
import { flowBound } from "../../../bench/scheduler/bound.ts";
import type { Job, ResultLine, Service } from "../../../bench/scheduler/format.ts";
import { mean, measure } from "../../../bench/scheduler/metrics.ts";
import { DEVICE_MIB, generate, mixServices } from "../../../bench/scheduler/mix.ts";
import { laneOptimum } from "../../../bench/scheduler/optimum.ts";
import { batchInstance, starvation, VICTIM } from "../../../bench/scheduler/workloads.ts";

const SERVICES: readonly Service[] = ["a", "b", "c", "d"].map((name) => ({
  name,
  vram_mib: 4,
  load_ms: 10,
  run_ms: 100,
  slots: 1,
}));

/** What happened, in order: "+a" loads, "-a" evicts, "1" a job's end. */
function story(baseline: Baseline, jobs: readonly Job[], devicesMib = [8]): string {
  const lines = runBaseline(baseline, { services: SERVICES, jobs, devicesMib, compute: "shared" });
  return lines.map(told).join(" ").trim();
}

function told(line: ResultLine): string {
  switch (line.type) {
    case "load":
      return `+${line.service}`;
    case "evict":
      return `-${line.service}`;
    case "job":
      return line.id;
    case "summary":
      return "";
  }
}

/** A job of 100 ms each 10 ms, of the services named. */
function stream(services: string, gapMs = 10): Job[] {
  return [...services].map((service, index) => ({
    id: `${index + 1}`,
    at_ms: index * gapMs,
    service,
    run_ms: 100,
  }));
}

describe("the order of", () => {
  test("the seed rule is that of arrival, with one resident", () => {
    expect(story("seed", stream("aba"))).toBe("+a 1 -a +b 2 -b +a 3");
  });

  test("packing in strict order blocks on the oldest, but keeps what fits", () => {
    expect(story("packing-fifo", stream("aba"))).toBe("+a +b 1 2 3");
    expect(story("packing-fifo", stream("abca"))).toBe("+a +b 1 -a +c 2 -b +a 3 4");
  });

  test("llama-swap lets jobs of its one resident pass, and takes the oldest after", () => {
    expect(story("llama-swap", stream("abacab"))).toBe("+a 1 3 5 -a +b 2 6 -b +c 4");
  });

  test("Ollama lets idle models leave in order of name, not of use", () => {
    const jobs = stream("abac", 500);
    expect(story("ollama", jobs)).toBe("+a 1 +b 2 3 -a +c 4");
    expect(story("packing-lru", jobs)).toBe("+a 1 +b 2 3 -b +c 4");
  });

  test("Ollama holds three models, and drops them after five idle minutes", () => {
    expect(story("ollama", stream("abcd", 500), [100])).toBe("+a 1 +b 2 +c 3 -a +d 4");
    expect(story("ollama", stream("ab", 400_000), [100])).toBe("+a 1 -a +b 2");
  });

  test("packing with LRU loads for a younger job when it has room sooner", () => {
    const services = [...SERVICES.slice(0, 2), { ...SERVICES[2]!, vram_mib: 8 }];
    const jobs = stream("acb");
    const world = { services, jobs, devicesMib: [8], compute: "shared" } as const;
    const lines = runBaseline("packing-lru", world);
    expect(lines.map(told).join(" ").trim()).toBe("+a +b 1 3 -a -b +c 2");
  });

  test("the seed rule on two devices puts the second service on the second", () => {
    expect(story("seed", stream("ab"), [8, 8])).toBe("+a +b 1 2");
  });
});

describe("on the published workloads", () => {
  test("batches of ten stand to the optimum as published: 2.25, 2.09, 1.66, 1.66, 1.66", () => {
    const published = { seed: 2.25, "packing-fifo": 2.09, "llama-swap": 1.66 };
    for (const baseline of BASELINES) {
      const ratios = Array.from({ length: 200 }, (_, index) => {
        const { services, jobs } = batchInstance(index + 1, 10);
        const world = { services, jobs, devicesMib: [DEVICE_MIB], compute: "lane" } as const;
        const { meanFlowMs } = measure(services, jobs, runBaseline(baseline, world));
        return meanFlowMs / laneOptimum({ services, jobs, deviceMib: DEVICE_MIB }).meanFlowMs;
      });
      expect(Math.min(...ratios)).toBeGreaterThan(1 - 1e-9);
      const wanted = published[baseline as keyof typeof published] ?? 1.66;
      expect(Math.abs(mean(ratios) / wanted - 1)).toBeLessThan(0.1);
    }
  });

  test("with shared computing they stand to the bound as published, within their spread", () => {
    const ratios = Object.fromEntries(
      BASELINES.map((baseline) => {
        const of = Array.from({ length: 9 }, (_, seed) => {
          const wish = { seed: seed + 1, jobs: 4_000, load: 0.5, stickiness: 0.5 };
          const jobs = generate({ ...wish, arrivals: { kind: "poisson" } });
          const services = mixServices();
          const world = { services, jobs, devicesMib: [DEVICE_MIB], compute: "shared" } as const;
          const lines = runBaseline(baseline, world);
          return measure(services, jobs, lines).meanFlowMs / flowBound(jobs);
        });
        return [baseline, of.sort((a, b) => a - b)[4]!];
      }),
    );
    const published = { seed: 10.5, "llama-swap": 8.9, ollama: 6.8, "packing-lru": 3.9 };
    for (const [baseline, ratio] of Object.entries(published)) {
      expect(Math.abs(ratios[baseline]! / ratio - 1)).toBeLessThan(0.25);
    }
  });

  test("a hot stream starves the victim under llama-swap's rule and Ollama's, not in order", () => {
    const { services, jobs } = starvation({ seed: 1, hotLoad: 0.95 });
    const world = { services, jobs, devicesMib: [DEVICE_MIB], compute: "shared" } as const;
    const worst = (baseline: Baseline) =>
      measure(services, jobs, runBaseline(baseline, world)).byService[VICTIM]!.maxWaitMs;
    expect(worst("llama-swap")).toBeGreaterThan(600_000);
    expect(worst("ollama")).toBeGreaterThan(600_000);
    expect(worst("seed")).toBeLessThan(400_000);
  });
});

test("a job that fits no device is refused with the reason", () => {
  const world = {
    services: SERVICES,
    jobs: stream("a"),
    devicesMib: [3],
    compute: "lane",
  } as const;
  expect(() => runBaseline("seed", world)).toThrow('"a"');
});
