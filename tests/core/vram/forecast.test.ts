/** What the forecast says, compared with what then happens when the same scheduler is driven on. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  type Forecast,
  type ForecastInput,
  forecast,
  restFromSamples,
} from "../../../core/vram/forecast/forecast.ts";
import { exclusive } from "../../../core/vram/policy/exclusive.ts";
import { fair } from "../../../core/vram/policy/fair.ts";
import { fifo } from "../../../core/vram/policy/fifo.ts";
import { createWorld, dump, type Model, type World, type WorldOptions } from "./forecast-world.ts";

const llm: Model = { name: "llm", residentMiB: 6656, loadMs: 4000, runMs: 6000, slots: 4 };
const image: Model = { name: "image", residentMiB: 9728, loadMs: 12_000, runMs: 14_000 };
const wan: Model = { name: "wan", residentMiB: 16_384, loadMs: 40_000, runMs: 240_000 };

function ask(world: World, watch: ForecastInput["watch"], more: Partial<ForecastInput> = {}) {
  return forecast({
    view: world.scheduler.view,
    nowMs: world.nowMs,
    policy: world.policy,
    settings: world.settings,
    running: world.running,
    runOf: world.workOf,
    loadOf: (place) => place.loadMs,
    watch,
    limitJobs: 1000,
    ...more,
  });
}

function starting(found: Forecast): Extract<Forecast, { kind: "starts" }> {
  if (found.kind !== "starts") throw new Error(`${found.kind}: ${found.reason}`);
  return found;
}

describe("a forecast", () => {
  test("of a job whose model is absent is its load, then its run", () => {
    const world = createWorld({ models: [llm] });
    const found = ask(world, whatIf(world, "llm", { durationMs: 6000 }));
    expect(found).toEqual({
      kind: "starts",
      atMs: 4000,
      endsAtMs: 10_000,
      ahead: [],
      loads: [{ backend: "llm", model: "llm", device: "gpu0", atMs: 0, own: true }],
      evictions: [],
      backend: "llm",
      model: "llm",
      device: "gpu0",
    });
  });

  test("names the jobs that start before it in the order of dispatch", () => {
    const world = createWorld({ models: [image] });
    for (let index = 0; index < 4; index++) world.submit("image");
    world.pass(12_000);
    const { ahead, atMs } = starting(ask(world, "job-3"));
    expect(ahead).toEqual(["job-1", "job-2"]);
    expect(atMs).toBe(3 * 14_000);
  });

  test("says who leaves for it and when", () => {
    const world = createWorld({ models: [image, wan] });
    world.submit("image");
    world.pass(20_000);
    world.submit("wan");
    const { evictions, atMs, loads } = starting(ask(world, "job-1"));
    expect(evictions).toEqual([
      { backend: "image", model: "image", device: "gpu0", atMs: 6000, own: true },
    ]);
    expect(loads.map(({ model }) => model)).toEqual(["wan"]);
    expect(atMs).toBe(46_000);
  });

  test("waits until the victims have left, as long as that takes", () => {
    const world = createWorld({ models: [image, wan], leaveMs: 3000 });
    world.submit("image");
    world.pass(30_000);
    const watch = whatIf(world, "wan", { durationMs: 1000 });
    expect(starting(ask(world, watch, { leaveOf: () => 3000 })).atMs).toBe(43_000);
    const unsure = ask(world, watch, { leaveOf: () => undefined });
    expect(unsure).toEqual({
      kind: "unknown",
      reason: "nobody knows how long image/image takes to leave gpu0",
    });
    world.submit("wan");
    world.pass(1000);
    expect(starting(ask(world, "job-1", { leaveOf: () => 2000 })).atMs).toBe(42_000);
  });

  test("of a running job is its end", () => {
    const world = createWorld({ models: [image] });
    world.submit("image");
    world.pass(15_000);
    expect(starting(ask(world, "job-0"))).toMatchObject({ atMs: 0, endsAtMs: 11_000, ahead: [] });
  });

  test("lets jobs on one device share its compute, unless they do not", () => {
    const world = createWorld({ models: [llm] });
    world.submit("llm");
    world.pass(4000);
    const watch = whatIf(world, "llm", { durationMs: 6000 });
    expect(starting(ask(world, watch)).endsAtMs).toBeCloseTo(12_000 / 0.95, 6);
    expect(starting(ask(world, watch, { sharing: "none" })).endsAtMs).toBe(6000);
  });

  test("leaves the waiting jobs their arrival: one that is overdue already goes next", () => {
    const models = [image, wan];
    const settings = { overdueAfterMs: 15_000, overdueRuns: 0 };
    const world = createWorld({ models, settings });
    world.submit("image");
    world.submit("wan");
    world.pass(9000);
    for (let index = 0; index < 6; index++) world.submit("image");
    world.pass(7000);
    const { ahead } = starting(ask(world, "job-1"));
    world.pass();
    const before = [...world.started.keys()].slice(1, [...world.started.keys()].indexOf("job-1"));
    expect(ahead).toEqual(before);
    expect(ahead.length).toBeLessThan(3);
  });
});

describe("what nobody knows is not answered", () => {
  test("a job that waits beside a run of unknown length", () => {
    const world = createWorld({ models: [image] });
    world.submit("image");
    world.submit("image");
    world.pass(13_000);
    const runOf = () => undefined;
    expect(ask(world, "job-1", { runOf })).toEqual({
      kind: "unknown",
      reason: "nobody knows how long a job of image/image still computes on gpu0",
    });
  });

  test("a job whose device is not the one where something unknown runs is answered", () => {
    const devices = { gpu0: 12_000, gpu1: 12_000 };
    const models = [
      { ...llm, on: ["gpu1"], slots: 1 },
      { ...image, on: ["gpu0"] },
    ];
    const world = createWorld({ devices, models });
    world.submit("image");
    world.submit("llm");
    world.submit("llm");
    world.pass(13_000);
    const runOf: ForecastInput["runOf"] = ({ group }) => (group.name === "llm" ? 6000 : undefined);
    expect(starting(ask(world, "job-2", { runOf })).endsAtMs).toBe(6000 + 3000 - 6000);
  });

  test("a run that takes longer than expected, unless the measurements know its rest", () => {
    const world = createWorld({ models: [image] });
    world.submit("image", { workMs: 100_000 });
    world.submit("image");
    world.pass(12_000 + 20_000);
    const runOf = () => 14_000;
    expect(ask(world, "job-1", { runOf }).kind).toBe("unknown");
    const samples = [12_000, 14_000, 15_000, 30_000, 32_000, 34_000, 36_000, 38_000];
    const restOf = (_: unknown, elapsedMs: number) => restFromSamples(samples, elapsedMs, 0.5);
    expect(starting(ask(world, "job-1", { runOf, restOf })).atMs).toBe(34_000 - 20_000);
    expect(restFromSamples(samples, 31_000, 0.5)).toBeUndefined();
  });

  test("a load of unknown length, or one that takes longer than expected", () => {
    const world = createWorld({ models: [image] });
    world.submit("image");
    world.pass(10_000);
    const reason = "nobody knows how long image/image still loads on gpu0";
    expect(ask(world, "job-0", { loadOf: () => undefined })).toEqual({ kind: "unknown", reason });
    expect(ask(world, "job-0", { loadOf: () => 9000 })).toEqual({ kind: "unknown", reason });
    expect(starting(ask(world, "job-0", { loadOf: () => 13_000 })).atMs).toBe(3000);
  });

  test("the end of a job that starts at a known time and runs for nobody knows how long", () => {
    const world = createWorld({ models: [image] });
    const found = starting(ask(world, whatIf(world, "image", { durationMs: undefined })));
    expect(found.atMs).toBe(12_000);
    expect(found.endsAtMs).toBeUndefined();
  });

  test("the end of a job that shares its device with a run of unknown length", () => {
    const world = createWorld({ models: [llm, image] });
    world.submit("image");
    world.submit("llm");
    world.pass(12_500);
    const runOf: ForecastInput["runOf"] = ({ group }) => (group.name === "llm" ? 6000 : undefined);
    const watch = whatIf(world, "llm", { durationMs: 6000 });
    const found = starting(ask(world, watch, { runOf }));
    expect(found).toMatchObject({ atMs: 0, endsAtMs: undefined });
    expect(starting(ask(world, watch, { runOf, sharing: "none" })).endsAtMs).toBe(6000);
  });

  test("a backend that is down", () => {
    const world = createWorld({ models: [image] });
    world.server("image").available = false;
    world.submit("image");
    const reason = "image takes no work now.";
    expect(ask(world, "job-0")).toEqual({ kind: "unknown", reason });
  });

  test("more jobs than it may look at", () => {
    const world = createWorld({ models: [image] });
    for (let index = 0; index < 12; index++) world.submit("image");
    expect(ask(world, "job-3", { limitJobs: 11 })).toEqual({
      kind: "unknown",
      reason: "12 jobs wait or run, and it looks ahead over 11 at most",
    });
  });

  test("a job that is not there", () => {
    const world = createWorld({ models: [image] });
    expect(ask(world, "job-9").kind).toBe("unknown");
  });

  test("a future in which the policy fails", () => {
    const world = createWorld({ models: [image] });
    const policy = {
      name: "own",
      next: () => {
        throw new Error("own: no rule for this");
      },
    };
    const watch = whatIf(world, "image", { durationMs: 1 });
    expect(ask(world, watch, { policy })).toEqual({
      kind: "unknown",
      reason: "own: no rule for this",
    });
  });
});

test("a job that fits on no device never starts, and it says by how much", () => {
  const world = createWorld({ models: [{ ...wan, workingMiB: 9000 }] });
  const watch = whatIf(world, "wan", { durationMs: 1, workingMiB: 9000 });
  expect(ask(world, watch)).toEqual({
    kind: "never",
    reason: "it needs 25384 MiB, and gpu0 has 24576",
  });
});

test("a what-if of a key that has used more than its share waits behind the others", () => {
  const world = createWorld({ models: [llm, image], settings: { fairnessMs: 1000 } });
  world.submit("image", { key: "greedy" });
  for (let index = 0; index < 3; index++) world.submit("image", { key: "modest" });
  world.pass(13_000);
  const watch = (key: string) => ({ ...whatIf(world, "image", { durationMs: 14_000 }), key });
  expect(starting(ask(world, watch("greedy"))).ahead).toEqual(["job-1", "job-2"]);
  expect(starting(ask(world, watch("new"))).ahead).toEqual(["job-1"]);
});

test("one job's forecast among 1,000 that wait takes well below a second", () => {
  const world = createWorld({ models: [llm, image, wan] });
  for (let index = 0; index < 1000; index++) {
    world.submit(["llm", "image", "wan"][index % 3]!, { key: `key-${index % 10}` });
  }
  const beganMs = performance.now();
  const found = ask(world, "job-997", { limitJobs: 2000 });
  expect(found.kind).toBe("starts");
  expect(performance.now() - beganMs).toBeLessThan(1000);
});

/** What may be, from one number: so that a failure can be repeated. */
function randomWorld(seed: number): World {
  const random = generator(seed);
  const between = (low: number, high: number) => low + random() * (high - low);
  const chance = (share: number) => random() < share;
  const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T;
  const devices: Record<string, number> = { gpu0: 24_576 };
  if (chance(0.5)) devices.gpu1 = Math.round(between(12_000, 24_576));
  const models: Model[] = [];
  for (let index = 0; index < 2 + Math.floor(random() * 4); index++) {
    models.push({
      name: `m${index}`,
      residentMiB: Math.round(between(1000, 11_000)),
      loadMs: between(500, 20_000),
      runMs: between(500, chance(0.3) ? 60_000 : 8000),
      workingMiB: chance(0.5) ? 0 : Math.round(between(100, 1000)),
      slots: pick([1, 1, 2, 4]),
      server: chance(0.4) ? "shared-server" : `s${index}`,
      // Such a server is one process, and stands on one device.
      ...(seed % 2 === 0 ? {} : { frees: "everything", on: ["gpu0"] }),
    });
  }
  const options: WorldOptions = {
    devices,
    models,
    policy: pick([fair, fair, fifo, exclusive]),
    settings: { overdueAfterMs: pick([5000, 60_000]), fairnessMs: pick([10_000, 120_000]) },
    compute: chance(0.2) ? "lane" : "shared",
  };
  const world = createWorld(options);
  const jobs = 3 + Math.floor(random() * 22);
  for (let index = 0; index < jobs; index++) {
    const model = pick(models);
    world.submit(model.name, {
      key: pick(["a", "a", "b"]),
      priority: pick([5, 5, 5, 2, 8]),
      workMs: model.runMs * between(0.3, 2),
      startByMs: chance(0.1) ? world.nowMs + between(0, 30_000) : undefined,
    });
    world.pass(between(0, 4000));
  }
  world.scheduler.reconsider();
  return world;
}

/** Mulberry32. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function whatIf(
  world: World,
  model: string,
  { durationMs, workingMiB = 0 }: { durationMs: number | undefined; workingMiB?: number },
) {
  const group = world.group(model);
  const runMs = durationMs ?? 6000;
  return { group, key: "key", keyWeight: 1, priority: 5, runMs, durationMs, workingMiB };
}

test("with exact durations and no further arrivals, what is forecast is what happens", () => {
  let compared = 0;
  fc.assert(
    fc.property(fc.integer(), fc.nat(), (seed, choice) => {
      const world = randomWorld(seed);
      const waiting = world.scheduler.view.groups.flatMap(({ lines }) =>
        lines.flatMap(({ jobs, head }) => jobs.slice(head)),
      );
      const job = waiting[choice % Math.max(1, waiting.length)];
      if (!job) return;
      const before = dump(world.scheduler.view);
      const found = ask(world, job.id);
      expect(dump(world.scheduler.view)).toBe(before);
      const askedMs = world.nowMs;
      const already = world.started.size;
      world.pass();
      const startMs = world.started.get(job.id);
      if (found.kind !== "starts") {
        expect(startMs).toBeUndefined();
        return;
      }
      compared++;
      expect(askedMs + found.atMs).toBeCloseTo(startMs!, 3);
      expect(askedMs + found.endsAtMs!).toBeCloseTo(world.ended.get(job.id)!, 3);
      const order = [...world.started.keys()].slice(already);
      expect(found.ahead).toEqual(order.slice(0, order.indexOf(job.id)));
    }),
    { numRuns: 1500, seed: 20_260_801 },
  );
  expect(compared).toBeGreaterThan(900);
});

test("a what-if is what happens when that job then comes", () => {
  let compared = 0;
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const world = randomWorld(seed);
      const group = world.scheduler.view.groups[0] ?? world.group("m0");
      const runMs = group.lines[0]?.jobs[0]?.runMs ?? 3000;
      const before = dump(world.scheduler.view);
      const shape = { group, key: "new", keyWeight: 1, priority: 5, runMs, workingMiB: 0 };
      const found = ask(world, { ...shape, durationMs: runMs });
      expect(dump(world.scheduler.view)).toBe(before);
      const askedMs = world.nowMs;
      world.expectWork("what-if", runMs);
      world.scheduler.arrive({ ...shape, id: "what-if" });
      // The forecast looks at once at what an arrival changes; the scheduler may leave it to a tick.
      world.scheduler.reconsider();
      world.pass();
      if (found.kind !== "starts") {
        expect(world.started.has("what-if")).toBe(false);
        return;
      }
      compared++;
      expect(askedMs + found.atMs).toBeCloseTo(world.started.get("what-if")!, 3);
    }),
    { numRuns: 600, seed: 20_260_802 },
  );
  expect(compared).toBeGreaterThan(300);
});
