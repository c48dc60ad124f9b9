/** What must be known before the first lease, and what comes to be known too late. */
import { afterEach, describe, expect, test } from "bun:test";
import { eventually } from "../../gateway.ts";
import { openYard, type Yard } from "./yard.ts";

let yard: Yard;
afterEach(() => yard?.close());

const gpu0 = () => yard.vram.devices.get("gpu0")!;
/** The port of a fake, to be bent. */
const bend = (name: string) => yard.backend(name).port as any;
/** The card's probe, to be bent before the scheduler starts. */
const probe = () => yard.card.probe as any;

describe("the first look", () => {
  test("waits for a driver that takes its time", async () => {
    yard = await openYard([{ name: "a", tells: false }, { name: "b" }], {
      started: false,
      memoryMiB: 24_576,
    });
    yard.card.set("a", 18_000);
    const { state, fresh } = probe();
    let answer = () => {};
    probe().state = () => ({ kind: "missing", reason: "nothing was measured yet" });
    probe().fresh = async () => {
      await new Promise<void>((resolve) => (answer = resolve));
      Object.assign(probe(), { state, fresh });
      return fresh();
    };
    const job = yard.ask({ on: "b", residentMiB: 16_000 });
    const started = yard.vram.start();
    await Bun.sleep(50);
    expect(job.lease).toBeUndefined();
    answer();
    await started;
    await job.settled;
    // It was made to leave first.
    expect(yard.backend("a").calls[0]).toStartWith("free");
  });

  test("does not wait for a tool that is not there", async () => {
    yard = await openYard([{ name: "a" }], { started: false, memoryMiB: 24_576 });
    yard.card.vanish("nvidia-smi is not installed");
    probe().fresh = () => new Promise(() => {});
    await yard.vram.start();
    const job = yard.ask({ on: "a" });
    await job.settled;
    expect(job.lease).toBeDefined();
  });

  test("comes to a backend that answers late, before it gets a job", async () => {
    yard = await openYard([{ name: "a", concurrency: 1 }], { started: false });
    Object.assign(yard.backend("a"), { up: false, busy: true });
    await yard.vram.start();
    yard.backend("a").held.set("old", 18_000);
    yard.backend("a").up = true;
    yard.vram.backendChanged();
    const job = yard.ask({ on: "a" });
    await eventually("asked", () => yard.vram.orphans.list().has("a"));
    expect(job.lease).toBeUndefined();
    expect(gpu0().heldMiB).toBe(18_000);
    yard.backend("a").busy = false;
    await job.settled;
  }, 10_000);

  test("comes again when a backend was gone, and it is not called an orphan then", async () => {
    yard = await openYard([{ name: "a" }], { blind: true, memoryMiB: 24_576 });
    const set = (up: boolean) => {
      yard.backend("a").up = up;
      yard.vram.backendChanged();
    };
    set(false);
    yard.backend("a").held.set("by hand", 20_000);
    yard.backend("a").busy = true;
    set(true);
    const job = yard.ask({ on: "a" });
    await job.settled;
    expect(yard.backend("a").calls).toEqual(["free by hand"]);
  });

  test("takes what a server holds for the model of the job that goes on there", async () => {
    yard = await openYard([{ name: "a", tells: false, process: true, frees: "lies" }], {
      started: false,
    });
    await bend("a").process.start();
    yard.card.set("a", 18_000);
    const job = yard.ask({ on: "a", residentMiB: 16_000, resume: true });
    await yard.vram.start();
    await job.settled;
    expect(yard.backend("a").calls).toEqual(["start"]);
    expect(gpu0().heldMiB).toBe(18_000);
  });

  test("finds a model larger than was expected: the job that waits for it claims less", async () => {
    yard = await openYard([{ name: "a" }], { started: false });
    yard.backend("a").held.set("m", 20_000);
    yard.card.set("a", 20_000);
    const job = yard.ask({ on: "a", residentMiB: 16_000, workingMiB: 6_000 });
    await yard.vram.start();
    await job.settled;
    expect(gpu0().heldMiB).toBe(24_576);
    job.end();
    expect(gpu0().heldMiB).toBe(20_000);
  });
});

describe("an answer of a backend", () => {
  test("that is older than an eviction brings nothing back", async () => {
    yard = await openYard([{ name: "a" }]);
    const job = yard.ask({ on: "a" });
    await job.settled;
    job.end();
    let answer = () => {};
    bend("a").residents = async () => {
      await new Promise<void>((resolve) => (answer = resolve));
      return [{ model: "m", residentMiB: 8_000 }];
    };
    const refreshed = yard.vram.inspector.refresh();
    await Bun.sleep(5);
    await yard.vram.free({ backend: "a" });
    answer();
    await refreshed;
    expect(gpu0().heldMiB).toBe(0);
  });
});

describe("a job that is tried again while its last attempt still settles", () => {
  test("has two leases, and each is seen until it ends", async () => {
    yard = await openYard([{ name: "a", concurrency: 2 }]);
    const old = yard.ask({ on: "a", jobId: "twice", workingMiB: 1_000 });
    await old.settled;
    const again = yard.ask({ on: "a", jobId: "twice", workingMiB: 1_000 });
    await again.settled;
    expect(yard.vram.admission.granted.size).toBe(2);
    again.end();
    expect([...yard.vram.admission.granted].map(({ running }) => running?.job.workingMiB)).toEqual([
      1_000,
    ]);
    old.end();
    old.end();
    expect(gpu0()).toMatchObject({ heldMiB: 8_000, running: 0 });
  });
});

describe("a process that ends", () => {
  test("while its job runs leaves nothing behind, and the next job starts it anew", async () => {
    yard = await openYard([{ name: "a", process: true, loads: true }]);
    const job = yard.ask({ on: "a", workingMiB: 1_000 });
    await job.settled;
    await bend("a").process.stop();
    expect(gpu0().heldMiB).toBe(1_000);
    const next = yard.ask({ on: "a", workingMiB: 1_000 });
    job.end("failed");
    await next.settled;
    expect(yard.backend("a").calls).toEqual(["start", "load m", "stop", "start", "load m"]);
    next.end();
    expect(gpu0()).toMatchObject({ heldMiB: 8_000, running: 0, promisedMiB: 0 });
  });

  test("right after its start gets no job", async () => {
    yard = await openYard([{ name: "a", process: true }]);
    const { start, stop } = bend("a").process;
    let deaths = 0;
    bend("a").process.start = async (signal: AbortSignal) => {
      await start(signal);
      if (deaths++ === 0) await stop(signal);
    };
    const job = yard.ask({ on: "a" });
    await job.settled;
    expect(deaths).toBe(2);
  }, 10_000);
});
