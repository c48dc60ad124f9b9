/** The synthetic mix, the draws behind it and the traces: what comes out has the stated figures. */
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { formatLines, parseLines } from "../../../bench/scheduler/format.ts";
import {
  type Arrivals,
  generate,
  MIX,
  meanWorkMs,
  mixServices,
} from "../../../bench/scheduler/mix.ts";
import { createRandom } from "../../../bench/scheduler/prng.ts";
import { azureTimestampsMs, mooncakeTimestampsMs } from "../../../bench/scheduler/traces.ts";
import {
  batchInstance,
  HOT,
  onlineInstance,
  starvation,
  VICTIM,
} from "../../../bench/scheduler/workloads.ts";

const TRACES = join(import.meta.dir, "../../../bench/traces");

function draw(count: number, from: () => number): { mean: number; cv: number } {
  const values = Array.from({ length: count }, from);
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count;
  return { mean, cv: Math.sqrt(variance) / mean };
}

function gapsOf(at: readonly number[]): { mean: number; cv: number } {
  let index = 0;
  return draw(at.length - 1, () => at[++index]! - at[index - 1]!);
}

describe("chance", () => {
  test("is the same for the same seed, and another for another seed or stream", () => {
    const first = (seed: number, stream?: number) => {
      const random = createRandom(seed, stream);
      return [random.uniform(), random.normal(), random.gamma(0.5), random.below(1_000)];
    };
    expect(first(1)).toEqual(first(1));
    expect(first(1)).not.toEqual(first(2));
    expect(first(1)).not.toEqual(first(1, 1));
  });

  test("has the moments of its distributions", () => {
    const random = createRandom(7);
    expect(draw(100_000, random.uniform).mean).toBeCloseTo(0.5, 2);
    expect(draw(100_000, random.exponential).mean).toBeCloseTo(1, 1);
    expect(draw(100_000, random.exponential).cv).toBeCloseTo(1, 1);
    expect(draw(100_000, random.normal).mean).toBeCloseTo(0, 1);
    expect(draw(100_000, () => random.normal() ** 2).mean).toBeCloseTo(1, 1);
    expect(draw(100_000, () => random.gamma(4)).mean).toBeCloseTo(4, 1);
    expect(draw(100_000, () => random.gamma(4)).cv).toBeCloseTo(0.5, 1);
    expect(draw(100_000, () => random.gamma(0.25)).cv).toBeCloseTo(2, 1);
  });
});

describe("the mix", () => {
  const wish = { seed: 1, jobs: 20_000, load: 0.5, stickiness: 0.5 };
  const poisson: Arrivals = { kind: "poisson" };

  test("tells a scheduler the mean run time, and brings 17.5 s of work a job", () => {
    const llm = mixServices().find(({ name }) => name === "llm");
    expect(llm).toEqual({ name: "llm", vram_mib: 6_656, load_ms: 4_000, run_ms: 8_263, slots: 4 });
    expect(meanWorkMs()).toBeCloseTo(17_545, -2);
  });

  test("brings the work that was asked for, with the shares of the table", () => {
    const jobs = generate({ ...wish, arrivals: poisson, devices: 2 });
    const work = jobs.reduce((sum, { run_ms }) => sum + run_ms, 0);
    expect(Math.abs(work / jobs.at(-1)!.at_ms - 1)).toBeLessThan(0.15);
    for (const { name, share } of MIX) {
      const count = jobs.filter(({ service }) => service === name).length;
      expect(Math.abs(count / jobs.length - share)).toBeLessThan(0.015);
    }
  });

  test("stays with a service as often as asked", () => {
    const stays = (stickiness: number) => {
      const jobs = generate({ ...wish, stickiness, arrivals: poisson });
      return jobs.filter(({ service }, at) => service === jobs[at - 1]?.service).length / 20_000;
    };
    expect(stays(0)).toBeCloseTo(0.244, 1);
    expect(stays(0.8)).toBeCloseTo(0.8 + 0.2 * 0.244, 1);
  });

  test("keeps its jobs and changes their arrivals with the pattern", () => {
    const bare = (arrivals: Arrivals) =>
      generate({ ...wish, arrivals }).map(({ service, run_ms }) => [service, run_ms]);
    expect(bare({ kind: "gamma", cv: 3 })).toEqual(bare(poisson));
    expect(generate({ ...wish, arrivals: poisson })).toEqual(
      generate({ ...wish, arrivals: poisson }),
    );
  });

  test("comes in bursts of the CV asked for, and as often as a trace's load says", () => {
    const at = (arrivals: Arrivals) => generate({ ...wish, arrivals }).map(({ at_ms }) => at_ms);
    expect(gapsOf(at({ kind: "gamma", cv: 3 })).cv).toBeCloseTo(3, 0);
    const stretched = at({ kind: "timestamps", timestampsMs: [100, 200, 500] });
    expect(gapsOf(stretched).mean).toBeCloseTo(meanWorkMs() / 0.5, -1);
    expect(stretched[0]).toBe(0);
    expect((stretched[2]! - stretched[1]!) / stretched[1]!).toBeCloseTo(3, 3);
  });

  test("goes through a file and back", () => {
    const jobs = generate({ ...wish, jobs: 50, arrivals: poisson });
    expect(parseLines(formatLines(jobs))).toEqual(jobs);
  });
});

describe("the traces", () => {
  test("are the files that their README names", () => {
    const readme = readFileSync(join(TRACES, "README.md"), "utf8");
    for (const file of ["azure_conv.csv", "mooncake_conv.jsonl"]) {
      const sum = createHash("sha256")
        .update(readFileSync(join(TRACES, file)))
        .digest("hex");
      expect(readme).toContain(`\`${sum}\``);
    }
  });

  test("have the requests, span and burstiness that are stated", () => {
    const azure = azureTimestampsMs();
    expect([azure.length, Math.round(azure.at(-1)! / 1_000)]).toEqual([19_366, 3_502]);
    expect(gapsOf(azure).cv).toBeCloseTo(1.09, 1);
    const mooncake = mooncakeTimestampsMs();
    expect([mooncake.length, Math.round(mooncake.at(-1)! / 1_000)]).toEqual([12_031, 3_537]);
    expect(gapsOf(mooncake).cv).toBeCloseTo(3, 0);
  });
});

describe("the small workloads", () => {
  test("are the same jobs as a batch and one by one", () => {
    const batch = batchInstance(4, 10);
    const online = onlineInstance(4, 10, 1);
    expect(batch.jobs.every(({ at_ms }) => at_ms === 0)).toBe(true);
    expect(online.jobs.map((job) => ({ ...job, at_ms: 0 }))).toEqual([...batch.jobs]);
    expect(online.jobs.at(-1)!.at_ms).toBeGreaterThan(0);
  });

  test("the one that starves has 24 victims in a stream of the load asked for", () => {
    const { jobs, services } = starvation({ seed: 1, hotLoad: 0.8 });
    expect(jobs.filter(({ service }) => service === VICTIM)).toHaveLength(24);
    const hot = jobs.filter(({ service }) => service === HOT);
    const work = hot.reduce((sum, { run_ms }) => sum + run_ms, 0);
    expect(Math.abs(work / (4 * 3_600_000) - 0.8)).toBeLessThan(0.1);
    expect(services.reduce((sum, { vram_mib }) => sum + vram_mib, 0)).toBeGreaterThan(24_576);
  });
});
