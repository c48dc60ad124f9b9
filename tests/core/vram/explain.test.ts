/** Why a job waits: each reason in a world that has it, and what the wire says of it. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type ExplainInput, explain, waitReason } from "../../../core/vram/explain/explain.ts";
import type { Waiting } from "../../../core/vram/ledger.ts";
import { fair } from "../../../core/vram/policy/fair.ts";
import { createWorld, dump, type Model, type World } from "./forecast-world.ts";

const llm: Model = { name: "llm", residentMiB: 6656, loadMs: 4000, runMs: 6000 };
const image: Model = { name: "image", residentMiB: 9728, loadMs: 12_000, runMs: 14_000 };
const wan: Model = { name: "wan", residentMiB: 16_384, loadMs: 40_000, runMs: 240_000 };
const tts: Model = { name: "tts", residentMiB: 12_000, loadMs: 10_000, runMs: 4000 };

function why(world: World, job: Waiting, more: Partial<ExplainInput> = {}) {
  const { nowMs, running, scheduler } = world;
  const found = explain({ view: scheduler.view, job, nowMs, running, ...more });
  expect(waitReason(scheduler.view, job, { nowMs }).reason).toBe(found.waitsFor.kind);
  return found;
}

describe("a job waits", () => {
  test("for its model, which is being loaded", () => {
    const world = createWorld({ models: [image] });
    const job = world.submit("image");
    world.pass(2000);
    const { waitsFor, sentence, places } = why(world, job);
    expect(waitsFor).toMatchObject({ kind: "loading", model: "image", restMs: 10_000 });
    expect(sentence).toBe("image is being loaded on gpu0, expected in 10 s.");
    expect(places[0]).toMatchObject({ state: "loading", setupMs: 10_000, neededMiB: 0 });
  });

  test("for its model, which others are making room for", () => {
    const world = createWorld({ models: [image, wan] });
    world.submit("image");
    world.pass(30_000);
    const job = world.submit("wan");
    expect(why(world, job).sentence).toBe("image is leaving gpu0 to make room for wan.");
  });

  test("for memory that a busy model holds", () => {
    const big: Model = { ...tts, name: "xtts", server: "alltalk", residentMiB: 20_000 };
    const world = createWorld({ models: [big, tts] });
    world.submit("xtts");
    world.pass(10_500);
    const job = world.submit("tts");
    const { waitsFor, sentence, places } = why(world, job);
    expect(waitsFor).toMatchObject({ kind: "memory", neededMiB: 12_000, freeMiB: 4576 });
    expect(sentence).toBe(
      "tts needs 12,000 MiB on gpu0, 4,576 MiB are free. " +
        "alltalk/xtts would have to leave. alltalk/xtts is computing.",
    );
    expect(places[0]?.leave).toEqual([
      { backend: "alltalk", model: "xtts", residentMiB: 20_000, state: "busy" },
    ]);
  });

  test("for another long job that computes on its device", () => {
    const world = createWorld({ models: [wan, { ...image, residentMiB: 4096 }] });
    world.submit("wan");
    world.pass(140_000);
    const job = world.submit("image");
    world.pass(12_000);
    const { waitsFor, sentence } = why(world, job);
    expect(waitsFor).toMatchObject({ kind: "heavy_lane", device: "gpu0", limit: 1 });
    expect(sentence).toBe(
      "At most one long job computes on gpu0 at once: wan, expected to end in 128 s.",
    );
  });

  test("for a slot of its backend, behind those that came before it", () => {
    const world = createWorld({ models: [{ ...llm, slots: 2 }] });
    const jobs = Array.from({ length: 6 }, () => world.submit("llm"));
    world.pass(5000);
    const last = why(world, jobs[5]!);
    expect(last.waitsFor).toEqual({ kind: "backend_busy", backend: "llm", slots: 2 });
    expect(last.sentence).toBe("llm takes 2 jobs at once and has as many.");
    expect(last.dispatch).toEqual({ position: 3, exact: false });
    expect(last.next?.sentence).toStartWith("3 jobs go first");
    expect(why(world, jobs[2]!)).toMatchObject({ dispatch: { position: 0 }, next: undefined });
  });

  test("for its backend, which is down", () => {
    const world = createWorld({ models: [llm] });
    world.server("llm").available = false;
    const job = world.submit("llm");
    expect(why(world, job).waitsFor).toEqual({ kind: "backend_down", backend: "llm" });
    const downReason = () => "connection refused.";
    expect(why(world, job, { downReason }).sentence).toBe(
      "llm takes no work now: connection refused.",
    );
  });

  test("for its device, which does one thing at a time", () => {
    const world = createWorld({ models: [llm, tts], compute: "lane" });
    world.submit("llm");
    const job = world.submit("tts");
    expect(why(world, job).sentence).toBe("gpu0 does one thing at a time: it is loading.");
    world.pass(5000);
    expect(why(world, job).sentence).toBe(
      "gpu0 does one thing at a time: llm, expected to end in 5 s.",
    );
  });

  test("for a job that takes longer than expected", () => {
    const world = createWorld({ models: [llm, tts], compute: "lane" });
    world.submit("llm", { workMs: 60_000 });
    const job = world.submit("tts");
    world.pass(15_000);
    expect(why(world, job).sentence).toEndWith("llm, longer than expected.");
  });

  test("for memory of processes that nobody here manages", () => {
    const world = createWorld({ models: [wan] });
    world.device().foreignMiB = 10_000;
    const job = world.submit("wan");
    const { sentence, places } = why(world, job);
    expect(sentence).toBe(
      "wan needs 16,384 MiB on gpu0; " +
        "processes that nobody here manages hold 10,000 MiB of the 24,576 MiB there.",
    );
    expect(places[0]?.feasible).toBe(false);
  });

  test("for a model that may not be evicted", () => {
    const world = createWorld({ models: [image, wan] });
    world.submit("image");
    world.pass(30_000);
    world.place("image").pinned = true;
    const { sentence, places } = why(world, world.submit("wan"));
    expect(sentence).toBe(
      "wan needs 16,384 MiB on gpu0, 14,848 MiB are free. " +
        "image would have to leave and may not be evicted.",
    );
    expect(places[0]?.leave).toEqual([
      { backend: "image", model: "image", residentMiB: 9728, state: "pinned" },
    ]);
  });

  test("for a model that did not leave when told to", () => {
    const world = createWorld({ models: [image, wan] });
    world.submit("image");
    world.pass(30_000);
    world.place("image").stuckUntilMs = world.nowMs + 30_000;
    const { waitsFor, sentence } = why(world, world.submit("wan"));
    expect(waitsFor.kind).toBe("stuck");
    expect(sentence).toContain("image did not leave when told to; a server that Switchyard runs");
  });

  test("for another attempt at a load that failed", () => {
    const world = createWorld({ models: [image] });
    world.place("image").stuckUntilMs = 4000;
    const job = world.submit("image");
    const failureOf = () => "CUDA error: out of memory";
    expect(why(world, job, { failureOf }).sentence).toBe(
      "image did not load on gpu0: CUDA error: out of memory. It is tried again in 4 s.",
    );
  });

  test("for an overdue job that goes next", () => {
    const other: Model = { ...tts, name: "other", residentMiB: 9000 };
    const settings = { overdueAfterMs: 20_000, overdueRuns: 0 };
    const world = createWorld({ models: [image, wan, other], settings });
    world.submit("image");
    const overdue = world.submit("wan");
    world.pass(21_000);
    const job = world.submit("other");
    const found = why(world, job);
    expect(found.waitsFor).toMatchObject({ kind: "reserved", model: "wan", overdue: true });
    expect(found.sentence).toBe("An overdue job of wan goes next on gpu0.");
    expect(found.dispatch.position).toBeGreaterThan(0);
    expect(why(world, overdue).dispatch.position).toBe(0);
  });

  test("for others, because its key has used more than they", () => {
    const paused = stoppable();
    const world = createWorld({
      models: [llm],
      policy: paused.policy,
      settings: { fairnessMs: 1000 },
    });
    world.submit("llm", { key: "greedy" });
    world.submit("llm", { key: "modest" });
    const job = world.submit("llm", { key: "greedy" });
    world.pass(9500);
    paused.stop();
    world.pass(1000);
    expect(why(world, job).sentence).toBe(
      "This key has used 10 s of devices more than another that waits; 1 s are allowed.",
    );
  });

  test("for its turn", () => {
    const paused = stoppable();
    const world = createWorld({ models: [llm, image], policy: paused.policy });
    paused.stop();
    for (let index = 0; index < 3; index++) world.submit("llm");
    const job = world.submit("image");
    expect(why(world, job).sentence).toBe("3 jobs go first: more waits there for less work.");
    const byArrival = why(world, world.submit("llm"), { ordersBy: "arrival" });
    expect(byArrival.sentence).toBe("4 jobs go first: they came earlier.");
  });

  test("in vain, where it can never run", () => {
    const world = createWorld({ models: [{ ...wan, workingMiB: 10_000 }] });
    expect(why(world, world.submit("wan")).sentence).toBe(
      "wan needs 26,384 MiB on gpu0, where 24,576 MiB may be used: it can never run there.",
    );
  });
});

describe("an explanation", () => {
  test("says for every place what stands against it, the nearest first", () => {
    const devices = { gpu0: 8000, gpu1: 24_576, gpu2: 24_576 };
    const world = createWorld({ devices, models: [wan, { ...image, on: ["gpu0", "gpu1"] }] });
    world.device("gpu2").foreignMiB = 20_000;
    world.submit("wan");
    world.pass(60_000);
    const job = world.submit("image");
    const { places, waitsFor } = why(world, job);
    expect(places.map(({ device, waitsFor }) => [device, waitsFor?.kind])).toEqual([
      ["gpu1", waitsFor.kind],
      ["gpu0", "too_large"],
    ]);
    const other = why(world, world.submit("wan")).places;
    expect(other.map(({ device, waitsFor }) => [device, waitsFor?.kind])).toEqual([
      ["gpu1", "backend_busy"],
      ["gpu2", "device_foreign"],
      ["gpu0", "too_large"],
    ]);
  });

  test("ranks a group of jobs among the others of the device", () => {
    const paused = stoppable();
    const world = createWorld({ models: [llm, image, wan], policy: paused.policy });
    paused.stop();
    const [a, b, c] = [world.submit("wan"), world.submit("llm"), world.submit("image")];
    const ranks = [a, b, c].map((job) => why(world, job).places[0]?.rank);
    expect(ranks).toEqual([2, 0, 1]);
    expect(why(world, a).places[0]?.score).toBeCloseTo(1000 / 280_000, 9);
  });

  test("takes its place in the order from the forecast where there is one", () => {
    const world = createWorld({ models: [image] });
    const jobs = [0, 1, 2].map(() => world.submit("image"));
    const moves = { loads: [], evictions: [], device: "gpu0", backend: "image", model: "image" };
    const ahead = ["x", "y", "z"];
    const forecast = { kind: "starts", atMs: 9, endsAtMs: 10, ahead, ...moves } as const;
    expect(why(world, jobs[2]!, { forecast }).dispatch).toEqual({ position: 3, exact: true });
  });

  test("of any world changes nothing, and speaks of known values only", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(2), fc.nat(20_000)), { maxLength: 12 }), (jobs) => {
        const models = [llm, { ...image, workingMiB: 300 }, wan];
        const world = createWorld({ models, devices: { gpu0: 24_576, gpu1: 12_000 } });
        const submitted = jobs.map(([which, waitMs]) => {
          const job = world.submit(models[which]!.name, { key: `key-${waitMs % 3}` });
          world.pass(waitMs);
          return job;
        });
        const before = dump(world.scheduler.view);
        for (const job of submitted) {
          if (world.started.has(job.id)) continue;
          const found = why(world, job);
          const said = [
            found.sentence,
            found.next?.sentence,
            ...found.places.map((it) => it.sentence),
          ];
          expect(said.join(" ")).not.toMatch(/undefined\S|NaN|Infinity|-\d/);
          expect(found.places).toHaveLength(2);
        }
        expect(dump(world.scheduler.view)).toBe(before);
      }),
      { numRuns: 300 },
    );
  });
});

/** The fair policy, which stops deciding when told to. */
function stoppable() {
  let stopped = false;
  return {
    policy: {
      ...fair,
      next: (view: Parameters<typeof fair.next>[0]) => (stopped ? undefined : fair.next(view)),
    },
    stop() {
      stopped = true;
    },
  };
}
