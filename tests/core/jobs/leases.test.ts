/** Jobs and their leases: where they run, how leases end, what a refused one does to its job. */
import { afterEach, describe, expect, test } from "bun:test";
import { GatewayError } from "../../../core/errors.ts";
import type { Choices } from "../../../core/jobs/mod.ts";
import { BackendError } from "../../../core/sdk/errors.ts";
import type { Job } from "../../../core/sdk/job.ts";
import { fastFolder, openWorld, type World, type WorldOptions } from "./world.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const forEver = () => new Promise<never>(() => {});

async function until(condition: () => unknown, limitMs = 3_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms`);
    await turn();
  }
}

const worlds: World[] = [];
function open(options: WorldOptions = {}): World {
  const world = openWorld(options);
  worlds.push(world);
  return world;
}
afterEach(() => {
  for (const world of worlds.splice(0)) world.remove();
});

const demand = { model: "m", residentMiB: 1, workingMiB: 1 };
const BOTH: Choices = [
  { backend: "work", demand },
  { backend: "work2", demand },
];

describe("a job that several backends may do", () => {
  test("runs where it is granted, and its events tell first the choice and then the place", async () => {
    const world = open();
    world.admission.takeOn("work2");
    const id = await world.submit({ choices: BOTH, anyBackend: true });
    const row = await world.ended(id);
    expect(row).toMatchObject({ backend: "work2", device: "gpu0", status: "completed" });
    const told = world.events.filter(({ jobId }) => jobId === id);
    expect(told[0]).toMatchObject({ type: "job.created", data: { backend: "work" } });
    expect(told[1]).toMatchObject({ type: "job.started", data: { backend: "work2" } });
    const log: unknown[] = [];
    world.jobs.hub.follow(id, 0, { event: (event) => log.push(event), end() {} });
    expect(log).toEqual(told);
  });

  test("may choose anew for the next attempt, after its pause and not before", async () => {
    const asked: string[] = [];
    let failing = true;
    const world = open({
      random: () => 0.3,
      run() {
        if (failing) throw new BackendError("BACKEND_UNREACHABLE", "gone");
        return {};
      },
      choicesOf(row, bound) {
        asked.push(`${row.backend} ${bound} ${failing}`);
        return [{ backend: "work2" }];
      },
    });
    const id = await world.submit({ choices: BOTH, anyBackend: true });
    await until(() => world.jobs.get(id)?.attempts === 1 && world.jobs.counts().pending === 1);
    failing = false;
    expect(await world.ended(id)).toMatchObject({ backend: "work2", attempts: 2 });
    expect(asked).toEqual(["work false false"]);
  });

  test("stays on its backend when the gateway dies while it runs, also when it dies again", async () => {
    const folder = fastFolder();
    const asked: boolean[] = [];
    const choicesOf: WorldOptions["choicesOf"] = ({ backend }, bound) => {
      asked.push(bound);
      return [{ backend }];
    };
    const run = async (job: Job) => {
      await job.step("submit", async () => "handle");
      return forEver();
    };
    const first = open({ folder, run, restart: "resume" });
    const id = await first.submit({ anyBackend: true });
    await until(() => first.jobs.get(id)?.status === "running");
    await first.database.write(() => {});
    first.kill();
    const second = open({ folder, restart: "resume", choicesOf });
    second.admission.hold();
    await second.jobs.recover();
    expect(second.admission.requests).toMatchObject([{ jobId: id, resume: true }]);
    second.kill();
    const third = open({ folder, restart: "resume", choicesOf });
    await third.jobs.recover();
    expect((await third.ended(id))?.status).toBe("completed");
    expect(asked).toEqual([true, true]);
  });

  test("that has left nothing anywhere may go elsewhere after a restart", async () => {
    const folder = fastFolder();
    const first = open({ folder });
    first.admission.hold();
    const id = await first.submit({ anyBackend: true });
    first.kill();
    const asked: unknown[] = [];
    const second = open({
      folder,
      choicesOf(row, bound) {
        asked.push([row.firstChoice, bound]);
        return [{ backend: "work2" }];
      },
    });
    await second.jobs.recover();
    expect(await second.ended(id)).toMatchObject({ backend: "work2", firstChoice: "work" });
    expect(asked).toEqual([["work", false]]);
  });
});

describe("a request for a lease", () => {
  test("says whose it is, by when it must begin, and that interrupted work comes again", async () => {
    const world = open();
    world.admission.hold();
    const before = performance.now();
    const submitted = Date.now();
    await world.submit({ choices: BOTH, startByMs: submitted + 60_000, priority: 7 });
    await world.submit();
    const [first, second] = world.admission.requests;
    expect(first).toMatchObject({ keyId: "key", choices: BOTH, priority: 7, resume: false });
    expect(first?.startByMs).toBeGreaterThan(before + 50_000);
    expect(first?.startByMs).toBeLessThan(performance.now() + 60_001);
    expect(second?.startByMs).toBeUndefined();
  });

  const ends = [
    ["completed", () => ({})],
    ["failed", () => Promise.reject(new BackendError("BACKEND_REJECTED", "no"))],
    ["failed", () => ({ not: 1n })],
  ] as const;
  for (const [end, run] of ends) {
    test(`whose work ${end} ends with that (${String(run).slice(0, 40)})`, async () => {
      const world = open({ run });
      const id = await world.submit();
      await world.ended(id);
      await until(() => world.admission.released.length === 1);
      expect(world.admission.released).toEqual([{ jobId: id, end }]);
    });
  }

  test("tells when memory ran out, before the next attempt asks for one", async () => {
    let calls = 0;
    const world = open({
      run() {
        if (++calls === 1) throw new BackendError("OUT_OF_MEMORY", "no room");
        return {};
      },
    });
    const id = await world.submit();
    expect((await world.ended(id))?.status).toBe("completed");
    await until(() => world.admission.released.length === 2);
    expect(world.admission.released.map(({ end }) => end)).toEqual(["out_of_memory", "completed"]);
  });

  test("of a cancelled job teaches nothing", async () => {
    const world = open({
      run: ({ signal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    });
    const id = await world.submit();
    await until(() => world.jobs.get(id)?.status === "running");
    await world.jobs.cancel(id, "test");
    await until(() => world.admission.released.length === 1);
    expect(world.admission.released).toEqual([{ jobId: id, end: undefined }]);
  });
});

describe("a lease that will never be granted", () => {
  test("fails the job with the reason, and frees its place", async () => {
    const world = open({ settings: { maxPending: 1 } });
    world.admission.hold();
    const id = await world.submit();
    const error = new GatewayError("SERVICE_UNAVAILABLE", "ComfyUI could not load flux: no file", {
      details: { reason: "exited" },
    });
    world.admission.refuse(id, error);
    expect(await world.ended(id)).toMatchObject({
      status: "failed",
      attempts: 0,
      error: {
        code: "SERVICE_UNAVAILABLE",
        message: "ComfyUI could not load flux: no file",
        details: { reason: "exited", retryable: true },
      },
    });
    expect(world.terminalEvents(id)).toHaveLength(1);
    world.admission.open();
    expect((await world.ended(await world.submit()))?.status).toBe("completed");
  });

  test("for a reason that is nobody's business fails it as INTERNAL", async () => {
    const world = open();
    world.admission.hold();
    const id = await world.submit();
    world.admission.refuse(id, new Error("boom"));
    expect((await world.ended(id))?.error).toMatchObject({ code: "INTERNAL" });
  });

  test("loses against a cancel that came first", async () => {
    const world = open();
    world.admission.hold();
    const id = await world.submit();
    const cancelled = world.jobs.cancel(id, "test");
    world.admission.refuse(id, new GatewayError("SERVICE_UNAVAILABLE", "late"));
    expect((await cancelled).status).toBe("cancelled");
    for (let count = 0; count < 20; count++) await turn();
    expect(world.jobs.get(id)?.status).toBe("cancelled");
    expect(world.terminalEvents(id)).toHaveLength(1);
  });
});

describe("a model that is on its way", () => {
  const phases = (world: World, id: string) =>
    world.events.flatMap(({ jobId, type, data }) =>
      jobId === id && type === "job.phase" ? [data.phase] : [],
    );

  test("shows as the phase of the job that waits for it, once, until it begins", async () => {
    const world = open();
    world.admission.hold();
    const id = await world.submit();
    const [request] = world.admission.requests;
    request?.loading?.();
    request?.loading?.();
    await until(() => world.jobs.get(id)?.phase === "loading");
    const row = world.jobs.get(id);
    expect(row && world.jobs.wire(row)).toMatchObject({ status: "pending", phase: "loading" });
    world.admission.open();
    await world.ended(id);
    request?.loading?.();
    for (let count = 0; count < 20; count++) await turn();
    expect(phases(world, id)).toEqual(["loading"]);
    expect(world.jobs.get(id)).toMatchObject({ status: "completed", phase: null });
  });

  test("does not show any more when the job waits for its next attempt", async () => {
    const world = open({
      random: () => 1,
      run() {
        throw new BackendError("BACKEND_UNREACHABLE", "gone");
      },
    });
    world.admission.hold();
    const id = await world.submit();
    world.admission.requests[0]?.loading?.();
    await until(() => world.jobs.get(id)?.phase === "loading");
    world.admission.open();
    await until(() => world.jobs.get(id)?.attempts === 1 && world.jobs.counts().pending === 1);
    expect(world.jobs.get(id)).toMatchObject({ status: "pending", phase: "queued" });
  });

  test("is forgotten by the next process, which tells so", async () => {
    const folder = fastFolder();
    const first = open({ folder });
    first.admission.hold();
    const id = await first.submit();
    first.admission.requests[0]?.loading?.();
    await until(() => first.jobs.get(id)?.phase === "loading");
    first.kill();
    const second = open({ folder });
    second.admission.hold();
    await second.jobs.recover();
    expect(second.jobs.get(id)).toMatchObject({ status: "pending", phase: "queued", seq: 3 });
    expect(phases(second, id)).toEqual(["queued"]);
    second.admission.open();
    expect((await second.ended(id))?.status).toBe("completed");
  });

  test("for which a thousand wait holds up nobody else's commit", async () => {
    const world = open();
    world.admission.hold();
    const ids = await Promise.all(Array.from({ length: 1_000 }, () => world.submit()));
    for (const request of world.admission.requests) request.loading?.();
    const order: string[] = [];
    const last = ids.at(-1) ?? "";
    const all = until(() => world.jobs.get(last)?.phase === "loading").then(() =>
      order.push("all"),
    );
    await world.submit().then(() => order.push("another was accepted"));
    await all;
    expect(order).toEqual(["another was accepted", "all"]);
    const shown = ids.filter((id) => world.jobs.get(id)?.phase === "loading");
    expect(shown).toHaveLength(1_000);
  });
});

describe("work that goes on after it was told to stop", () => {
  const deaf: WorldOptions = { run: forEver, settings: { cancelGraceMs: 20 } };

  test("ends with its server's process, and the lease is held until that is gone", async () => {
    let stops = 0;
    let gone = () => {};
    const stopProcess = () => {
      stops++;
      return new Promise<void>((resolve) => {
        gone = resolve;
      });
    };
    const world = open({ ...deaf, backend: { stopProcess, busy: async () => true } });
    const id = await world.submit();
    await until(() => world.jobs.get(id)?.status === "running");
    expect(world.jobs.holding(id)).toMatchObject({ backend: "work", state: "running" });
    await world.jobs.cancel(id, "test");
    expect(world.jobs.holding(id)?.state).toBe("stopping");
    await until(() => stops === 1);
    expect(world.jobs.get(id)?.status).toBe("cancelled");
    expect(world.jobs.holding(id)?.state).toBe("stopping_process");
    expect(world.admission.released).toEqual([]);
    gone();
    await until(() => world.admission.released.length === 1);
    expect(world.jobs.holding(id)).toBeUndefined();
    expect(stops).toBe(1);
  });

  test("does not take others of the same server with it", async () => {
    let stops = 0;
    let finish = () => {};
    const stopProcess = async () => {
      stops++;
    };
    const world = open({
      settings: { cancelGraceMs: 20 },
      backend: { stopProcess, busy: async () => true },
      run: (job) =>
        (job.input as { deaf?: boolean }).deaf
          ? forEver()
          : new Promise((resolve) => {
              finish = () => resolve({});
            }),
    });
    const lost = await world.submit({ input: { deaf: true } });
    const other = await world.submit();
    await until(() => world.jobs.counts().running === 2);
    await world.jobs.cancel(lost, "test");
    await until(() => world.jobs.holding(lost)?.state === "orphan");
    expect(stops).toBe(0);
    finish();
    expect((await world.ended(other))?.status).toBe("completed");
    await until(() => stops === 1, 5_000);
    await until(() => world.jobs.counts().running === 0);
  });

  test("keeps its lease as an orphan when the process cannot be stopped", async () => {
    let stops = 0;
    let isBusy = true;
    const stopProcess = async () => {
      stops++;
      throw new Error("it does not end");
    };
    const world = open({ ...deaf, backend: { stopProcess, busy: async () => isBusy } });
    const id = await world.submit();
    await until(() => world.jobs.get(id)?.status === "running");
    await world.jobs.cancel(id, "test");
    await until(() => stops === 1);
    await until(() => world.jobs.holding(id)?.state === "orphan");
    expect(world.admission.released).toEqual([]);
    isBusy = false;
    await until(() => world.admission.released.length === 1, 5_000);
    expect(stops).toBe(1);
  });
});

describe("a grant", () => {
  test("in the turn in which the gateway begins to stop is given back, and the job kept", async () => {
    const world = open();
    world.admission.hold();
    const id = await world.submit();
    await until(() => world.admission.requests.length === 1);
    world.admission.open();
    const drained = world.jobs.drain();
    await drained;
    expect(world.admission.released).toEqual([{ jobId: id, end: undefined }]);
    expect(world.jobs.get(id)?.status).toBe("pending");
  });
});
