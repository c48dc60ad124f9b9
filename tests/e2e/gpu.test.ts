/** What operators ask the GPUs and tell them, over REST, with servers that really hold memory. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { TSchema } from "@sinclair/typebox";
import { createCheck } from "../../core/validation.ts";
import * as shape from "../../core/vram/schema.ts";
import { type Answer, eventually, type Gateway, RUNTIME, startGateway } from "../gateway.ts";
import { createYard, isRunning, runJob, submitJob, type Yard } from "../reliability/vram-yard.ts";
import { openStream } from "./watch.ts";

const LIMIT_MS = 30_000;
const LARGE = "studio/painter:7b";
const LARGE_MIB = 12_288;
const SMALL_MIB = 3_072;
const WRITER_MIB = 8_192;
const OWN_MIB = 6_144;

describe(`GPUs on ${RUNTIME}`, () => {
  let yard: Yard;
  let gateway: Gateway;
  beforeAll(async () => {
    yard = await createYard();
    // Light ones, so that only memory is what they wait for.
    const more = { runs_ms: 50 };
    const models = { [LARGE]: { mib: LARGE_MIB, load_ms: 300 }, small: { mib: SMALL_MIB } };
    await yard.add("painter", { models, more });
    await yard.add("writer", { models: { prose: { mib: WRITER_MIB } }, more });
    await yard.add("own", { models: { mine: { mib: OWN_MIB } }, more, supervised: false });
    await yard.add("rare", { models: { once: { mib: LARGE_MIB } }, more });
    await yard.startServer("own");
    gateway = await startGateway({ folder: yard.folder, config: yard.config() });
    await eventually("it is ready", async () => {
      const { data } = await gateway.call("GET", "/backends");
      return data.some(({ name, status }: any) => name === "own" && status === "ready");
    });
  });
  afterAll(async () => {
    await gateway?.remove();
    await yard.close();
  });
  beforeEach(async () => {
    const { data } = await post("/vram/free", { all: true });
    expect(data.kept).toEqual([]);
    await eventually("the device is empty", () => yard.usedMiB === 0);
  });

  const post = (path: string, body?: unknown) => gateway.call("POST", path, body);
  const vram = async () => (await gateway.call("GET", "/vram")).data;
  const residents = async () =>
    (await vram()).devices[0].residents.map(({ backend, model }: any) => `${backend} ${model}`);
  const dryRun = (body: object) =>
    post("/generate/image?dry_run=true", { prompt: "a viaduct", ...body });
  const running = (id: string) =>
    eventually(`${id} runs`, async () => {
      const { data } = await gateway.call("GET", `/jobs/${id}`);
      return data.status === "running";
    });

  test("GET /vram says who holds what, as measured and as believed", async () => {
    await runJob(gateway, "painter");
    const { status, data } = await gateway.call("GET", "/vram");
    expect(status).toBe(200);
    expectShape(shape.vramSchema, data);
    const pid = await yard.pid("painter");
    const [device] = data.devices;
    expect(device).toMatchObject({
      name: "gpu0",
      total_mib: yard.totalMiB,
      used_mib: LARGE_MIB,
      limit_mib: yard.totalMiB,
      held_mib: LARGE_MIB,
      promised_mib: 0,
      foreign_mib: 0,
      available_mib: yard.totalMiB - LARGE_MIB,
      heavy: { running: 0, limit: 1 },
      probe: { kind: "simulated", state: "reading", reason: null },
      processes: [{ pid, used_mib: LARGE_MIB, backend: "painter" }],
      leases: [],
      reservation: null,
    });
    expect(device.residents).toMatchObject([
      {
        backend: "painter",
        model: LARGE,
        state: "resident",
        resident_mib: LARGE_MIB,
        backend_measured_mib: LARGE_MIB,
        running: 0,
        pinned: false,
      },
    ]);
    expect(data.processes).toContainEqual(
      expect.objectContaining({ backend: "painter", state: "ready", pid }),
    );
    expect([data.policy, data.waiting, data.demoted]).toEqual(["fair", [], []]);
  });

  test("who computes and who waits for what is there too", async () => {
    const first = await submitJob(gateway, "painter", { ms: 1_500 });
    await running(first);
    const second = await submitJob(gateway, "painter", { model: "small" });
    const { devices, waiting } = await vram();
    expect(devices[0].leases).toMatchObject([{ kind: "job", job_id: first, backend: "painter" }]);
    expect(waiting).toMatchObject([
      { jobs: 1, first_job_id: second, keys: 1, places: [{ backend: "painter", model: "small" }] },
    ]);
    for (const id of [first, second]) expect((await gateway.ended(id)).status).toBe("completed");
  });

  test("memory that nobody here manages is a shadow, and room is not promised twice", async () => {
    const stranger = await holdMemory(yard, 16_384);
    const [device] = await eventually("it is seen", async () => {
      const { devices } = await vram();
      return devices[0].foreign_mib === 16_384 && devices;
    });
    expect(device.leases).toMatchObject([{ kind: "shadow", pid: stranger.pid, mib: 16_384 }]);
    expect(device.available_mib).toBe(yard.totalMiB - 16_384);
    const id = await submitJob(gateway, "painter");
    const { data } = await gateway.call("GET", `/jobs/${id}/explain`);
    expect(data.waits_for).toMatchObject({ reason: "device_foreign", foreign_mib: 16_384 });
    stranger.end();
    expect((await gateway.ended(id)).status).toBe("completed");
  });

  test("a load is a phase of the jobs that wait for it", async () => {
    const id = await submitJob(gateway, "painter");
    const { events, ended } = await openStream(gateway, "GET", `/jobs/${id}/events?after=0`);
    await ended;
    const phases = events
      .filter(({ type }) => type === "job.phase" || type === "job.started")
      .map(({ type, data }) => data.phase ?? type);
    expect(phases[0]).toBe("loading");
    expect(events.at(-1)?.type).toBe("job.completed");
  });

  test("the models of a backend are listed and unloaded by name", async () => {
    await runJob(gateway, "painter");
    const listed = await gateway.call("GET", "/backends/painter/residents");
    expectShape(shape.residentsSchema, listed.data);
    expect(listed.data.residents.map(({ model }: any) => model)).toEqual([LARGE]);
    const path = `/backends/painter/residents/${encodeURIComponent(LARGE)}`;
    const gone = await gateway.call("DELETE", path);
    expect(gone.status).toBe(200);
    expectShape(shape.reclaimSchema, gone.data);
    expect(gone.data).toMatchObject({
      freed: true,
      models: [LARGE],
      expected_mib: LARGE_MIB,
      actual_mib: LARGE_MIB,
      attempts: [{ verb: "free", believed: true, actual_mib: LARGE_MIB, error: null }],
    });
    expect(await yard.ask("painter", "GET", "/residents")).toEqual([]);
    expectError(await gateway.call("DELETE", path), 404, "NOT_FOUND");
    expectError(await gateway.call("GET", "/backends/nobody/residents"), 404, "NOT_FOUND");
  });

  test("what somebody else loaded is found and can be unloaded", async () => {
    await yard.ask("own", "POST", "/load", { model: "mine", mib: OWN_MIB });
    const { data } = await gateway.call("GET", "/backends/own/residents");
    expect(data.residents).toMatchObject([{ model: "mine", resident_mib: OWN_MIB }]);
    const { status } = await gateway.call("DELETE", "/backends/own/residents/mine");
    expect(status).toBe(200);
    expect(await yard.ask("own", "GET", "/residents")).toEqual([]);
  });

  test("a model that computes is not unloaded", async () => {
    const id = await submitJob(gateway, "painter", { ms: 1_000 });
    await running(id);
    const path = `/backends/painter/residents/${encodeURIComponent(LARGE)}`;
    expectError(await gateway.call("DELETE", path), 409, "MODEL_IN_USE");
    const { data } = await post("/vram/free", { backend: "painter" });
    expectShape(shape.freedSchema, data);
    expect(data).toMatchObject({ freed: [], kept: [{ backend: "painter", model: LARGE }] });
    expect((await gateway.ended(id)).status).toBe("completed");
  });

  test(
    "a server that says it freed and did not is an error with what was measured",
    async () => {
      await runJob(gateway, "own");
      await yard.ask("own", "POST", "/habits", { lies: true });
      const refused = await gateway.call("DELETE", "/backends/own/residents/mine");
      await yard.ask("own", "POST", "/habits", { lies: false });
      expectError(refused, 502, "RECLAIM_FAILED");
      expect(refused.error.details.attempts).toMatchObject([
        { verb: "free", believed: false, expected_mib: OWN_MIB, actual_mib: 0 },
      ]);
      expect(await residents()).toEqual(["own mine"]);
    },
    LIMIT_MS,
  );

  test("memory is freed by model, by backend, by device, or until enough is free", async () => {
    for (const model of [LARGE, "small"]) await runJob(gateway, "painter", { model });
    await runJob(gateway, "writer");
    expect((await residents()).length).toBe(3);

    const one = await post("/vram/free", { model: "small" });
    expectShape(shape.freedSchema, one.data);
    expect(one.data.freed).toMatchObject([{ backend: "painter", models: ["small"] }]);

    // 4,096 are free; 10,000 take one more model, whichever.
    const some = await post("/vram/free", { device: "gpu0", mib: 10_000 });
    expect(some.data.freed.length).toBe(1);
    expect((await vram()).devices[0].available_mib).toBeGreaterThanOrEqual(10_000);
    const nothing = await post("/vram/free", { mib: 10_000 });
    expect(nothing.data).toEqual({ freed: [], kept: [] });

    await post("/vram/free", { backend: "writer" });
    await post("/vram/free", { backend: "painter" });
    expect(await residents()).toEqual([]);
    expectError(await post("/vram/free", { backend: "nobody" }), 404, "NOT_FOUND");
    expectError(await post("/vram/free", { device: "gpu9" }), 404, "NOT_FOUND");
    expectError(await post("/vram/free", { mib: 0 }), 422, "VALIDATION_FAILED");
    // A slip of the pen must not clear every device.
    expectError(await post("/vram/free", { megabytes: 10 }), 422, "VALIDATION_FAILED");
  });

  test("a backend's process is started, stopped and restarted", async () => {
    const started = await post("/backends/writer/start");
    expect(started.status).toBe(200);
    expectShape(shape.supervisionSchema, started.data);
    const { pid } = started.data.process;
    expect(started.data).toMatchObject({ backend: "writer", process: { state: "ready" } });
    expect(await yard.pid("writer")).toBe(pid);

    const { data: again } = await post("/backends/writer/restart");
    expect(again.process.state).toBe("ready");
    expect(again.process.pid).not.toBe(pid);
    expect([isRunning(pid), isRunning(again.process.pid)]).toEqual([false, true]);

    const { data: stopped } = await post("/backends/writer/stop");
    expect(stopped.process).toEqual({ state: "stopped" });
    expect(isRunning(again.process.pid)).toBe(false);
    expectError(await post("/backends/own/stop"), 409, "NOT_SUPERVISED");
    expectError(await post("/backends/nobody/start"), 404, "NOT_FOUND");
  });

  test(
    "a process that computes is stopped only by force, and its job is done again",
    async () => {
      const id = await submitJob(gateway, "painter", { ms: 1_500 });
      await running(id);
      expectError(await post("/backends/painter/stop"), 409, "MODEL_IN_USE");
      const pid = await yard.pid("painter");
      // The job's next attempt may have begun to start it again by then.
      expect((await post("/backends/painter/stop?force=true")).status).toBe(200);
      expect(isRunning(pid)).toBe(false);
      const job = await gateway.ended(id);
      expect(job).toMatchObject({ status: "completed", attempts: 2 });
    },
    LIMIT_MS,
  );

  test("what was measured of a model is listed", async () => {
    await runJob(gateway, "painter");
    const { data } = await gateway.call("GET", "/vram/costs");
    expectShape(shape.costsSchema, data);
    const own = data.costs.filter(({ backend }: any) => backend === "painter");
    expect(own.length).toBeGreaterThan(0);
  });

  test("explain says what a job waits for and who would have to leave", async () => {
    const first = await submitJob(gateway, "painter", { ms: 2_500 });
    await running(first);
    // Beside it there is no room for both of these.
    await runJob(gateway, "writer");
    const second = await submitJob(gateway, "own");
    const third = await submitJob(gateway, "painter", { model: "small" });
    const { status, data } = await gateway.call("GET", `/jobs/${third}/explain`);
    expect(status).toBe(200);
    expect(data).toMatchObject({
      job_id: third,
      status: "pending",
      waits_for: { reason: "backend_busy", backend: "painter" },
      places: [{ backend: "painter", model: "small", device: "gpu0" }],
    });
    expect(data.message).toContain("painter takes one job at once");
    const computing = await gateway.call("GET", `/jobs/${first}/explain`);
    expect(computing.data).toMatchObject({ status: "running", lease: "running", device: "gpu0" });
    for (const id of [first, second, third]) {
      expect((await gateway.ended(id)).status).toBe("completed");
    }
    const over = await gateway.call("GET", `/jobs/${first}/explain`);
    expect(over.data).toMatchObject({ status: "completed", waits_for: null, lease: null });
  });

  test("a dry run says what a job would cost, when it would end and whom it would drive out", async () => {
    // Until it has seen some, the gateway does not say how long they take.
    for (let times = 0; times < 5; times++) {
      await runJob(gateway, "own");
      await post("/vram/free", { backend: "own" });
    }
    await runJob(gateway, "painter");
    await runJob(gateway, "writer");
    const before = (await gateway.call("GET", "/jobs?limit=100")).data.items.length;
    const there = await dryRun({ backend: "painter" });
    expect(there.status).toBe(200);
    expect(there.data).toMatchObject({
      feasible: true,
      backend: "painter",
      device: "gpu0",
      cost: { resident_mib: LARGE_MIB, working_mib: 0 },
      evictions: [],
      ahead: 0,
    });
    const { data: coming } = await dryRun({ backend: "own" });
    expect(coming).toMatchObject({ feasible: true, backend: "own", ahead: 0 });
    expect(coming.evictions.length).toBe(1);
    const { start, end } = coming.eta;
    expect(start.p50_ms).toBeLessThanOrEqual(start.p90_ms);
    expect(end.p50_ms).toBeGreaterThanOrEqual(start.p50_ms);
    expectError(await dryRun({ backend: "nobody" }), 422, "VALIDATION_FAILED");
    expect((await gateway.call("GET", "/jobs?limit=100")).data.items.length).toBe(before);
    expect((await residents()).sort()).toEqual([`painter ${LARGE}`, "writer prose"]);
  });

  test("a dry run that cannot say when still says whom it would drive out", async () => {
    await runJob(gateway, "writer");
    await runJob(gateway, "own");
    // Of a model that was never loaded nobody knows how long it takes: 24,576 - 8,192 - 6,144.
    const { data } = await dryRun({ backend: "rare" });
    expect(data).toMatchObject({
      feasible: true,
      backend: "rare",
      eta: { start: null, end: null },
    });
    expect(data.reason).toContain("nobody knows how long");
    expect(data.evictions.length).toBe(1);
  });
});

/** A process of nobody here that holds memory on the device. */
async function holdMemory(yard: Yard, mib: number): Promise<{ pid: number; end(): void }> {
  const { allocate } = await import("../../core/vram/probes/mod.ts");
  const child = Bun.spawn(["sleep", "60"]);
  allocate(yard.device, mib, "game", child.pid);
  return { pid: child.pid, end: () => child.kill("SIGKILL") };
}

function expectShape(schema: TSchema, data: unknown): void {
  // A check drops what the schema does not name, from what it is given.
  const checked = createCheck(schema)(structuredClone(data));
  expect(checked.ok ? [] : checked.errors).toEqual([]);
}

function expectError({ status, error }: Answer, wanted: number, code: string): void {
  expect([status, error?.code]).toEqual([wanted, code]);
}
