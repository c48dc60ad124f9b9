/** What the routes answer: explanations and dry runs on the wire, always JSON, never a guess. */
import { describe, expect, test } from "bun:test";
import { explain } from "../../../core/vram/explain/explain.ts";
import { dryRun, etaOf, explanationToWire } from "../../../core/vram/explain/wire.ts";
import { type Forecast, forecast } from "../../../core/vram/forecast/forecast.ts";
import { createWorld, type Model, type World } from "./forecast-world.ts";

const image: Model = { name: "image", residentMiB: 9728, loadMs: 12_000, runMs: 14_000 };
const wan: Model = { name: "wan", residentMiB: 16_384, loadMs: 40_000, runMs: 240_000 };

/** The forecast of a job that is not there; `slower` stretches every duration. */
function whatIf(world: World, model: string, slower = 1): Forecast {
  const group = world.group(model);
  return forecast({
    view: world.scheduler.view,
    nowMs: world.nowMs,
    policy: world.policy,
    settings: world.settings,
    running: world.running,
    runOf: (job) => job.runMs * slower,
    loadOf: (place) => place.loadMs * slower,
    watch: {
      group,
      key: "key",
      keyWeight: 1,
      priority: 5,
      runMs: 14_000,
      durationMs: 14_000 * slower,
      workingMiB: 0,
    },
    limitJobs: 100,
  });
}

const cost = {
  residentMiB: 9728,
  workingMiB: 0,
  loadMs: 12_000.4,
  runMs: 14_000,
  source: "learned",
} as const;
const otherwise = { backend: "image", device: "gpu0", leave: [] };

describe("a dry run", () => {
  test("says what would leave, where the job would run and when it would end", () => {
    const world = createWorld({ models: [image, wan] });
    world.submit("wan", { workMs: 1000 });
    world.pass();
    const [medians, slow] = [whatIf(world, "image"), whatIf(world, "image", 2)];
    expect(dryRun({ medians, slow, cost, otherwise })).toEqual({
      feasible: true,
      backend: "image",
      device: "gpu0",
      cost: {
        resident_mib: 9728,
        working_mib: 0,
        load_ms: 12_000,
        run_ms: 14_000,
        source: "learned",
      },
      evictions: [{ backend: "wan", model: "wan", device: "gpu0", at_ms: 0 }],
      ahead: 0,
      eta: {
        start: { p50_ms: 12_000, p90_ms: 24_000 },
        end: { p50_ms: 26_000, p90_ms: 52_000 },
      },
    });
  });

  test("has no ETA where one of the two does not know, and says why", () => {
    const world = createWorld({ models: [image] });
    const slow: Forecast = { kind: "unknown", reason: "too few runs were measured" };
    const found = dryRun({ medians: whatIf(world, "image"), slow, cost, otherwise });
    expect(found.eta).toEqual({ start: null, end: null });
    expect(found).toMatchObject({ feasible: true, ahead: 0, reason: "too few runs were measured" });
  });

  test("that cannot tell when still says what would leave if it came now", () => {
    const unknown: Forecast = { kind: "unknown", reason: "nobody knows" };
    const leave = [{ backend: "wan", model: "wan", device: "gpu0" }];
    const found = dryRun({
      medians: unknown,
      slow: unknown,
      cost,
      otherwise: { ...otherwise, leave },
    });
    expect(found.evictions).toEqual([
      { backend: "wan", model: "wan", device: "gpu0", at_ms: null },
    ]);
  });

  test("of what fits nowhere is not feasible, and says by how much", () => {
    const world = createWorld({ models: [image], devices: { gpu0: 8000 } });
    const found = dryRun({
      medians: whatIf(world, "image"),
      slow: whatIf(world, "image"),
      cost,
      otherwise,
    });
    expect(found).toMatchObject({
      feasible: false,
      reason: "it needs 9728 MiB, and gpu0 has 8000",
      eta: { start: null, end: null },
      evictions: [],
    });
  });
});

test("an upper estimate is never below the median, and a start may be known without its end", () => {
  const moves = { ahead: [], loads: [], evictions: [], device: "d", backend: "b", model: "m" };
  const medians: Forecast = { kind: "starts", atMs: 90, endsAtMs: 100.4, ...moves };
  const slow: Forecast = { kind: "starts", atMs: 80, endsAtMs: undefined, ...moves };
  expect(etaOf(medians, slow)).toEqual({ start: { p50_ms: 90, p90_ms: 90 }, end: null });
});

test("an explanation on the wire is in snake_case and is JSON as it stands", () => {
  const world = createWorld({ models: [image, wan], devices: { gpu0: 24_576, gpu1: Infinity } });
  world.submit("wan");
  world.submit("wan");
  world.pass(50_000);
  const job = world.submit("image");
  const { nowMs, running, scheduler } = world;
  const found = explain({ view: scheduler.view, job, nowMs, running });
  const unknown: Forecast = { kind: "unknown", reason: "too few runs were measured" };
  const wire = explanationToWire(found, unknown, unknown);
  expect(JSON.parse(JSON.stringify(wire))).toEqual(wire);
  expect(JSON.stringify(wire).match(/"\w*[A-Z]\w*":/g)).toBeNull();
  expect(wire).toMatchObject({
    job_id: job.id,
    eta: { start: null, end: null },
    eta_unknown: "too few runs were measured",
    dispatch: { exact: false },
  });
  const [place] = wire.places;
  expect(place?.waits_for?.message).toBe(found.places[0]?.sentence);
  expect(wire.places.find(({ device }) => device === "gpu1")?.free_mib).toBeNull();
});

test("values of a reason keep their units on the wire", () => {
  const world = createWorld({ models: [wan, { ...image, residentMiB: 4096 }] });
  world.submit("wan");
  world.pass(140_000);
  const job = world.submit("image");
  world.pass(12_000);
  const { nowMs, running, scheduler } = world;
  const found = explain({ view: scheduler.view, job, nowMs, running });
  const none: Forecast = { kind: "unknown", reason: "" };
  expect(explanationToWire(found, none, none).waits_for).toEqual({
    reason: "heavy_lane",
    message: "At most one long job computes on gpu0 at once: wan, expected to end in 128 s.",
    device: "gpu0",
    limit: 1,
    by: [{ backend: "wan", model: "wan", rest_ms: 128_000 }],
  });
});
