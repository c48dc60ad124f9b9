/** What goes wrong around the scheduler: policies, plugins and servers that misbehave. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Policy } from "../../../core/vram/mod.ts";
import { eventually } from "../../gateway.ts";
import { openYard, type Yard } from "./yard.ts";

let yard: Yard;
afterEach(() => yard?.close());

const gpu0 = () => yard.vram.devices.get("gpu0")!;
/** The port of a fake, to be bent. */
const bend = (name: string) => yard.backend(name).port as any;

describe("a policy of the operator's", () => {
  const firstOf = (view: Parameters<Policy["next"]>[0]) => {
    const [group] = view.groups;
    const line = group!.lines[0]!;
    return { job: line.jobs[line.head]!, place: group!.places[0]! };
  };
  const policies: Record<string, Policy["next"]> = {
    "that throws": () => {
      throw new Error("not today");
    },
    "whose step is refused": (view) =>
      view.groups.length > 0 ? { kind: "start", ...firstOf(view) } : undefined,
    "that goes round in circles": (view) => {
      if (view.groups.length === 0) return undefined;
      const [device] = view.devices;
      if (device!.reservation) return { kind: "unreserve", device: device! };
      return { kind: "reserve", ...firstOf(view), victims: [], overdue: true };
    },
    "that says nonsense": () => ({ kind: "dance" }) as any,
    "that answers with a promise": (async () => undefined) as any,
    "that answers with a word": () => "start" as any,
  };
  for (const [what, next] of Object.entries(policies)) {
    test(`${what} is stood in for, and every job still gets its turn`, async () => {
      yard = await openYard([{ name: "a" }, { name: "b" }], { policy: { name: "own", next } });
      const jobs = [
        yard.ask({ on: "a", residentMiB: 16_000 }),
        yard.ask({ on: "b", residentMiB: 16_000 }),
      ];
      for (const job of jobs) {
        await job.settled;
        expect(job.error).toBeUndefined();
        job.end();
      }
      expect(gpu0()).toMatchObject({ running: 0, promisedMiB: 0 });
    });
  }
});

describe("a plugin that lists its models wrongly", () => {
  const answers: Record<string, () => unknown> = {
    "sizes that are no numbers": () => [
      { model: "x", residentMiB: Number.NaN },
      { model: "y" },
      { model: "z", residentMiB: Infinity },
    ],
    "no list": () => undefined,
    "holes in the list": () => [null, { residentMiB: 5_000 }, "m"],
  };
  for (const [what, answer] of Object.entries(answers)) {
    test(`${what}: harms nobody`, async () => {
      yard = await openYard([{ name: "a" }, { name: "b" }], {
        started: false,
        blind: true,
        memoryMiB: 24_576,
      });
      bend("a").residents = async () => answer();
      await yard.vram.start();
      const jobs = [yard.ask({ on: "a" }), yard.ask({ on: "b" })];
      await Promise.all(jobs.map(({ settled }) => settled));
      await yard.vram.inspector.refresh();
      expect(gpu0().heldMiB).toBe(16_000);
    });
  }

  test("no answer at all: the others are asked all the same", async () => {
    yard = await openYard([{ name: "a" }, { name: "b" }], {
      started: false,
      blind: true,
      memoryMiB: 24_576,
    });
    bend("a").residents = () => new Promise(() => {});
    const started = yard.vram.start();
    const job = yard.ask({ on: "b" });
    await started;
    await job.settled;
    expect(job.lease).toBeDefined();
  }, 10_000);

  test("fractions of MiB leave no crumbs behind", async () => {
    yard = await openYard([{ name: "a" }], { started: false });
    yard.backend("a").held.set("x", 8_000.1).set("y", 700.7).set("z", 0.3);
    await yard.vram.start();
    await yard.vram.free({});
    expect(gpu0().heldMiB).toBe(0);
    const all = yard.ask({ on: "a", residentMiB: 24_576 });
    await all.settled;
    expect(all.lease).toBeDefined();
  });
});

describe("a load", () => {
  test("that ignores its signal does not hold up the end of the gateway", async () => {
    yard = await openYard([{ name: "a", loads: () => new Promise(() => {}) }]);
    const job = yard.ask({ on: "a" });
    const closed = yard.close().then(() => "closed");
    expect(await Promise.race([closed, Bun.sleep(5_000)])).toBe("closed");
    job.abort();
    await job.settled;
  }, 10_000);

  test("that fails on every backend that may do it fails its jobs", async () => {
    const broken = () => Promise.reject(new Error("no such file"));
    yard = await openYard([
      { name: "a", loads: broken },
      { name: "b", loads: broken },
    ]);
    const job = yard.ask({ on: ["a", "b"] });
    await job.settled;
    expect(String(job.error)).toContain("could not load m: no such file");
  }, 40_000);

  test("is not cut off to make another model of its process leave", async () => {
    let finish = () => {};
    const slow = (model: string) =>
      model === "slow" ? new Promise<void>((resolve) => (finish = resolve)) : Promise.resolve();
    yard = await openYard([
      { name: "a", loads: slow, process: true, frees: "never", concurrency: 2 },
      { name: "b" },
    ]);
    const first = yard.ask({ on: "a", model: "first" });
    await first.settled;
    first.end();
    const loading = yard.ask({ on: "a", model: "slow" });
    await eventually("loading", () => yard.backend("a").calls.includes("load slow"));
    const other = yard.ask({ on: "b", residentMiB: 12_000 });
    await eventually("tried", () => yard.events.find(({ type }) => type === "vram.reclaimed"));
    expect(yard.backend("a").calls).toEqual(["start", "load first", "load slow"]);
    finish();
    await loading.settled;
    expect(loading.lease).toBeDefined();
    other.abort();
    loading.end();
  }, 20_000);
});

describe("a server that is gone", () => {
  test("holds nothing that the probe does not see, although nobody can be told to unload", async () => {
    yard = await openYard([{ name: "a", tells: false }, { name: "b" }]);
    const first = yard.ask({ on: "a", residentMiB: 16_000 });
    await first.settled;
    first.end("failed");
    yard.backend("a").up = false;
    bend("a").free = () => Promise.reject(new Error("connection refused"));
    bend("a").pids = async () => [];
    yard.card.set("a", 0);
    yard.vram.backendChanged();
    const second = yard.ask({ on: "b", residentMiB: 16_000 });
    await Promise.race([second.settled, Bun.sleep(8_000)]);
    expect(second.lease).toBeDefined();
  }, 15_000);

  test("is not believed to be empty while its memory is still used", async () => {
    yard = await openYard([{ name: "a", tells: false }, { name: "b" }]);
    const first = yard.ask({ on: "a", residentMiB: 16_000 });
    await first.settled;
    first.end("failed");
    yard.backend("a").up = false;
    bend("a").free = () => Promise.reject(new Error("connection refused"));
    yard.vram.backendChanged();
    const second = yard.ask({ on: "b", residentMiB: 16_000 });
    await eventually("tried", () => yard.events.find(({ type }) => type === "vram.reclaimed"));
    expect(second.lease).toBeUndefined();
    expect(gpu0().heldMiB).toBe(16_000);
    second.abort();
  }, 15_000);
});

describe("a process", () => {
  test("is started for a job that needs no device, too", async () => {
    yard = await openYard([{ name: "cpu", process: true }]);
    let told = 0;
    const job = yard.ask({ on: "cpu", residentMiB: 0, loading: () => told++ });
    await job.settled;
    expect(yard.backend("cpu").calls).toEqual(["start"]);
    expect(told).toBe(1);
  });

  test("that does not start fails the jobs that need no device, and gives the slot back", async () => {
    yard = await openYard([{ name: "cpu", process: true }]);
    bend("cpu").process.start = () => Promise.reject(new Error("no such program"));
    const job = yard.ask({ on: "cpu", residentMiB: 0 });
    await job.settled;
    expect(String(job.error)).toContain("no such program");
    expect(yard.vram.roster.servers.get("cpu")!.running).toBe(0);
  }, 20_000);

  test("whose job was withdrawn while it started keeps no slot", async () => {
    yard = await openYard([{ name: "cpu", process: true }]);
    let finish = () => {};
    bend("cpu").process.start = () => new Promise<void>((resolve) => (finish = resolve));
    const job = yard.ask({ on: "cpu", residentMiB: 0 });
    job.abort();
    await job.settled;
    finish();
    await eventually("given back", () => yard.vram.roster.servers.get("cpu")!.running === 0);
  });

  test("takes no work between its stop and the end of the eviction it was stopped for", async () => {
    yard = await openYard([
      { name: "a", process: true, frees: "never", concurrency: 2 },
      { name: "b" },
    ]);
    const old = [
      yard.ask({ on: "a", model: "p1", residentMiB: 5_000 }),
      yard.ask({ on: "a", model: "p2", residentMiB: 3_000 }),
    ];
    await Promise.all(old.map(({ settled }) => settled));
    for (const job of old) job.end();
    // Only the proof comes late.
    const { fresh } = yard.card.probe;
    (yard.card.probe as any).fresh = async (signal: AbortSignal) => {
      if (yard.backend("a").calls.some((it) => /stop|restart/.test(it))) await Bun.sleep(600);
      return fresh(signal);
    };
    const big = yard.ask({ on: "b", residentMiB: 20_000 });
    await eventually("ended", () => yard.backend("a").held.size === 0);
    const next = yard.ask({ on: "a", model: "p2", residentMiB: 3_000 });
    await Promise.all([big.settled, next.settled]);
    const held = gpu0().places.map(({ model, state }) => `${model} ${state}`);
    expect(held.toSorted()).toEqual(["m resident", "p2 resident"]);
    expect(yard.backend("a").calls).toEqual(["start", "restart"]);
    // What was loaded meanwhile would have looked as if nothing had left.
    const reclaimed = yard.events.filter(({ type }) => type === "vram.reclaimed");
    expect(reclaimed.map(({ event }) => event.freed)).toEqual([true]);
  }, 20_000);
});

describe("an order to free one model of a server that frees everything", () => {
  test("counts the others as gone, too", async () => {
    yard = await openYard([{ name: "a", frees: "everything", tells: false, concurrency: 2 }]);
    const jobs = [yard.ask({ on: "a", model: "p1" }), yard.ask({ on: "a", model: "p2" })];
    await Promise.all(jobs.map(({ settled }) => settled));
    for (const job of jobs) job.end();
    const { results } = await yard.vram.free({ backend: "a", model: "p1" });
    expect(results).toHaveLength(1);
    expect(yard.backend("a").held.size).toBe(0);
    expect(gpu0()).toMatchObject({ heldMiB: 0, leavingMiB: 0 });
  });
});
