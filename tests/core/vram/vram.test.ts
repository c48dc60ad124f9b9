/** The scheduler with its effects: leases, loads, evictions, what the probe corrects. */
import { afterEach, describe, expect, test } from "bun:test";
import { eventually } from "../../gateway.ts";
import { openYard, type Yard } from "./yard.ts";

let yard: Yard;
afterEach(() => yard?.close());

describe("a lease", () => {
  test("is granted when the model fits, and names backend and device", async () => {
    yard = await openYard([{ name: "a" }]);
    const job = yard.ask({ on: "a" });
    await job.settled;
    expect(job.lease).toMatchObject({ backend: "a", device: "gpu0" });
  });

  test("is not granted before the devices were inspected", async () => {
    yard = await openYard([{ name: "a" }], { started: false });
    const job = yard.ask({ on: "a" });
    expect(yard.vram.admission.granted.size).toBe(0);
    await yard.vram.start();
    await job.settled;
    expect(job.lease).toBeDefined();
  });

  test("waits while its backend is down, and comes when it is up", async () => {
    yard = await openYard([{ name: "a" }]);
    yard.backend("a").up = false;
    yard.vram.backendChanged();
    const job = yard.ask({ on: "a" });
    expect(yard.vram.admission.granted.size).toBe(0);
    yard.backend("a").up = true;
    yard.vram.backendChanged();
    await job.settled;
    expect(job.lease).toBeDefined();
  });

  test("withdrawn while it waits leaves nothing behind", async () => {
    yard = await openYard([{ name: "a" }]);
    const first = yard.ask({ on: "a" });
    await first.settled;
    const second = yard.ask({ on: "a" });
    second.abort();
    await second.settled;
    expect(String(second.error)).toContain("withdrawn");
    expect(yard.vram.admission.size).toBe(0);
    first.end();
    const third = yard.ask({ on: "a" });
    await third.settled;
    expect(third.lease).toBeDefined();
  });

  test("needs no device when the job asks for none, and only a slot of its backend", async () => {
    yard = await openYard([{ name: "cpu" }]);
    const first = yard.ask({ on: "cpu", residentMiB: 0 });
    const second = yard.ask({ on: "cpu", residentMiB: 0 });
    await first.settled;
    expect(first.lease?.device).toBeUndefined();
    expect(yard.vram.admission.devicelessPlace(second.id)).toEqual({ ahead: 0, down: false });
    first.end();
    await second.settled;
    expect(second.lease).toBeDefined();
  });

  test("goes to whichever backend is free when several may serve it", async () => {
    yard = await openYard([{ name: "a" }, { name: "b" }]);
    const first = yard.ask({ on: ["a", "b"] });
    const second = yard.ask({ on: ["a", "b"] });
    await Promise.all([first.settled, second.settled]);
    expect(new Set([first.lease?.backend, second.lease?.backend])).toEqual(new Set(["a", "b"]));
  });
});

describe("memory", () => {
  test("is shared by models that fit beside each other", async () => {
    yard = await openYard([{ name: "a" }, { name: "b" }]);
    const jobs = [yard.ask({ on: "a" }), yard.ask({ on: "b", model: "n" })];
    await Promise.all(jobs.map(({ settled }) => settled));
    expect(yard.vram.admission.granted.size).toBe(2);
  });

  test("is made by evicting the idle, and the load waits until the probe sees it free", async () => {
    yard = await openYard([{ name: "a" }, { name: "b" }]);
    const first = yard.ask({ on: "a", residentMiB: 16_000 });
    await first.settled;
    const second = yard.ask({ on: "b", residentMiB: 16_000 });
    expect(second.lease).toBeUndefined();
    expect(yard.backend("a").calls).toEqual([]);
    first.end();
    await second.settled;
    expect(yard.backend("a").calls).toEqual(["free m"]);
    expect(yard.card.used.get("a")).toBeUndefined();
    expect(yard.events.map(({ type }) => type)).toContain("vram.reclaimed");
  });

  test("of a foreign process is not given away", async () => {
    yard = await openYard([{ name: "a" }]);
    yard.card.set("game", 20_000);
    const job = yard.ask({ on: "a", residentMiB: 8_000 });
    expect(job.lease).toBeUndefined();
    expect(yard.vram.devices.get("gpu0")?.foreignMiB).toBe(20_000);
    yard.card.set("game", 0);
    await job.settled;
    expect(job.lease).toBeDefined();
  });

  test("that a dead gateway's model holds is counted before the first lease", async () => {
    yard = await openYard([{ name: "a" }, { name: "b" }], { started: false });
    yard.backend("a").held.set("old", 18_000);
    yard.card.set("a", 18_000);
    const job = yard.ask({ on: "b", residentMiB: 8_000 });
    await yard.vram.start();
    await job.settled;
    // It had to leave first.
    expect(yard.backend("a").calls).toEqual(["free old"]);
  });

  test("that a silent backend holds since before is found by the probe and can be freed", async () => {
    yard = await openYard([{ name: "a", tells: false, frees: "everything" }, { name: "b" }], {
      started: false,
    });
    yard.backend("a").held.set("whatever", 18_000);
    yard.card.set("a", 18_000);
    const job = yard.ask({ on: "b", residentMiB: 8_000 });
    await yard.vram.start();
    await job.settled;
    expect(yard.backend("a").held.size).toBe(0);
    expect(job.lease).toBeDefined();
  });

  test("of an unknown size is given to one job at a time", async () => {
    yard = await openYard([{ name: "a" }, { name: "b" }], { blind: true });
    const first = yard.ask({ on: "a", runMs: 10 });
    const second = yard.ask({ on: "b", runMs: 10 });
    await first.settled;
    expect(second.lease).toBeUndefined();
    first.end();
    await second.settled;
    expect(second.lease).toBeDefined();
  });

  test("never fits: says how much is missing", async () => {
    yard = await openYard([{ name: "a" }], { headroomMiB: 576 });
    const demand = { model: "m", residentMiB: 24_000, workingMiB: 1_000 };
    expect(yard.vram.admission.shortage("a", demand)).toEqual({
      device: "gpu0",
      neededMiB: 25_000,
      availableMiB: 24_000,
    });
  });
});

describe("a verb that frees nothing", () => {
  test("is not believed: the next rung of the ladder is climbed", async () => {
    yard = await openYard([{ name: "a", frees: "lies", process: true }, { name: "b" }]);
    const first = yard.ask({ on: "a", residentMiB: 16_000 });
    await first.settled;
    first.end();
    const second = yard.ask({ on: "b", residentMiB: 16_000 });
    await second.settled;
    expect(yard.backend("a").calls).toEqual(["start", "free m", "stop"]);
    const reclaimed = yard.events.find(({ type }) => type === "vram.reclaimed");
    expect(reclaimed?.event.attempts).toMatchObject([
      { verb: "free", believed: false },
      { verb: "stop", believed: true },
    ]);
  }, 20_000);
});

describe("a load", () => {
  test("comes before the lease where the backend can be told to", async () => {
    yard = await openYard([{ name: "a", loads: true }]);
    let loading = 0;
    const job = yard.ask({ on: "a", loading: () => loading++ });
    await job.settled;
    expect(yard.backend("a").calls).toEqual(["load m"]);
    expect(loading).toBe(1);
    expect(yard.events.map(({ type }) => type)).toEqual(["vram.loading", "vram.loaded"]);
  });

  test("starts the backend's process first", async () => {
    yard = await openYard([{ name: "a", loads: true, process: true }]);
    const job = yard.ask({ on: "a" });
    await job.settled;
    expect(yard.backend("a").calls).toEqual(["start", "load m"]);
  });

  test("that fails again and again fails its jobs with the reason", async () => {
    const broken = () => Promise.reject(new Error("no such file"));
    yard = await openYard([{ name: "a", loads: broken }]);
    const job = yard.ask({ on: "a" });
    await job.settled;
    expect(String(job.error)).toContain("A could not load m: no such file");
    expect(yard.backend("a").calls).toEqual(["load m", "load m", "load m"]);
  }, 30_000);
});

describe("an order to free", () => {
  test("unloads what is idle and says what stays and why", async () => {
    yard = await openYard([{ name: "a" }, { name: "b" }]);
    const idle = yard.ask({ on: "a" });
    const busy = yard.ask({ on: "b", model: "n" });
    await Promise.all([idle.settled, busy.settled]);
    idle.end();
    const report = await yard.vram.free({});
    expect(report.results).toMatchObject([{ backend: "a", models: ["m"], freed: true }]);
    expect(report.kept).toMatchObject([{ reason: "a job computes with it" }]);
    expect(yard.card.used.has("a")).toBe(false);
  });
});

describe("an external lease", () => {
  const ask = { keyId: "key", name: "game", heavy: true, ttlMs: 60_000, priority: 5 };

  test("makes idle models leave and keeps others off its memory until it is given back", async () => {
    yard = await openYard([{ name: "a" }]);
    const first = yard.ask({ on: "a", residentMiB: 16_000 });
    await first.settled;
    first.end();
    const { id } = yard.vram.leases.ask({ ...ask, mib: 20_000 });
    const lease = await yard.vram.leases.settled(id, 5_000, new AbortController().signal);
    expect(lease?.state).toBe("granted");
    expect(yard.backend("a").calls).toEqual(["free m"]);
    const second = yard.ask({ on: "a", residentMiB: 16_000 });
    expect(second.lease).toBeUndefined();
    expect(yard.vram.leases.release(id)).toBe(true);
    await second.settled;
    expect(second.lease).toBeDefined();
    expect(yard.vram.leases.release(id)).toBe(false);
  });

  test("ends by itself when it is not renewed", async () => {
    yard = await openYard([{ name: "a" }]);
    const { id } = yard.vram.leases.ask({ ...ask, mib: 20_000, ttlMs: 40 });
    const job = yard.ask({ on: "a", residentMiB: 16_000 });
    expect(job.lease).toBeUndefined();
    await job.settled;
    expect(yard.vram.leases.get(id)).toBeUndefined();
  });

  test("whose program is seen by the probe is not counted twice", async () => {
    yard = await openYard([{ name: "a" }]);
    const { id } = yard.vram.leases.ask({ ...ask, heavy: false, mib: 12_000 });
    await eventually("granted", () => yard.vram.leases.get(id)?.state === "granted");
    yard.card.set("game", 12_000);
    const job = yard.ask({ on: "a", residentMiB: 12_000 });
    await job.settled;
    expect(yard.vram.devices.get("gpu0")?.foreignMiB).toBe(0);
  });

  test("larger than the device is refused with the shortage", async () => {
    yard = await openYard([{ name: "a" }]);
    expect(() => yard.vram.leases.ask({ ...ask, mib: 30_000 })).toThrow("5424 MiB too much");
  });
});

describe("a long job whose lane an external lease holds", () => {
  test("keeps no memory from short ones meanwhile, loaded ahead or on paper", async () => {
    const backends = [{ name: "a" }, { name: "b" }, { name: "c", loads: true }];
    yard = await openYard(backends);
    const ask = { keyId: "key", name: "game", heavy: true, ttlMs: 60_000, priority: 5 };
    const { id } = yard.vram.leases.ask({ ...ask, mib: 1_000 });
    await eventually("granted", () => yard.vram.leases.get(id)?.state === "granted");
    const paper = yard.ask({ on: "a", residentMiB: 16_000, runMs: 20_000 });
    const ahead = yard.ask({ on: "c", model: "n", residentMiB: 8_000, runMs: 20_000 });
    const short = yard.ask({ on: "b", model: "o", residentMiB: 20_000, runMs: 1_000 });
    await short.settled;
    expect(short.lease).toBeDefined();
    expect([paper.lease, ahead.lease]).toEqual([undefined, undefined]);
    expect(yard.backend("c").calls).toEqual([]);
  });
});

describe("what a dead gateway left computing", () => {
  test("keeps its backend's slot until the backend says that it is idle", async () => {
    yard = await openYard([{ name: "a" }], { started: false });
    yard.backend("a").busy = true;
    const job = yard.ask({ on: "a" });
    await yard.vram.start();
    expect(job.lease).toBeUndefined();
    expect([...yard.vram.orphans.list().keys()]).toEqual(["a"]);
    yard.backend("a").busy = false;
    await job.settled;
    expect(yard.vram.orphans.list().size).toBe(0);
  }, 10_000);

  test("is no orphan when one of our jobs goes on with it", async () => {
    yard = await openYard([{ name: "a" }], { started: false });
    yard.backend("a").busy = true;
    const job = yard.ask({ on: "a", resume: true });
    await yard.vram.start();
    await job.settled;
    expect(job.lease).toBeDefined();
  });
});

describe("a model that needs more than it said", () => {
  test("is counted with more after it ran out of memory, and refused no more than before", async () => {
    yard = await openYard([{ name: "a" }]);
    const demand = { model: "m", residentMiB: 16_000, workingMiB: 4_000 };
    const job = yard.ask({ on: "a", ...demand });
    await job.settled;
    job.end("out_of_memory");
    const estimate = yard.vram.roster.estimate("a", demand);
    expect(estimate.residentMiB + estimate.workingMiB).toBe(25_000);
    expect(yard.vram.admission.shortage("a", demand)).toBeUndefined();
    const again = yard.ask({ on: "a", ...demand });
    await again.settled;
    // As much as there is, and not more.
    expect(yard.vram.devices.get("gpu0")?.heldMiB).toBe(24_576);
  });
});
