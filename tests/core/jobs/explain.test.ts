/** Why a job waits or where it is, and what would become of one that is not sent. */
import { afterEach, describe, expect, test } from "bun:test";
import { GatewayError } from "../../../core/errors.ts";
import { createHttp } from "../../../core/http/mod.ts";
import { createIds } from "../../../core/ids.ts";
import { dryRunSchema } from "../../../core/jobs/dry-run.ts";
import { explanationSchema } from "../../../core/jobs/explain.ts";
import {
  type CataloguePort,
  createEventStreams,
  createJobSockets,
  jobRoutes,
  type ResolvedWork,
  type SchedulingPort,
  workRoutes,
} from "../../../core/jobs/mod.ts";
import { silentLog } from "../../../core/log.ts";
import { BackendError } from "../../../core/sdk/errors.ts";
import { createCheck } from "../../../core/validation.ts";
import { openWorld, type World, type WorldOptions } from "./world.ts";

const KEY_LIMITS = { requestsPerMinute: 0, activeJobs: 2 };
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

interface ClientOptions extends WorldOptions {
  readonly resolve?: () => Promise<ResolvedWork>;
  readonly scheduling?: Partial<SchedulingPort>;
}

const RESOLVED: ResolvedWork = {
  choices: [{ backend: "work", demand: { model: "m", residentMiB: 100, workingMiB: 1 } }],
  anyBackend: true,
  queueTimeoutMs: 60_000,
  input: {},
  stream: false,
};

const worlds: World[] = [];
afterEach(() => {
  for (const world of worlds.splice(0)) world.remove();
});

function open(options: ClientOptions = {}) {
  const world = openWorld(options);
  worlds.push(world);
  const { jobs } = world;
  const asked: any[] = [];
  const scheduling: SchedulingPort = {
    explain: () => undefined,
    dryRun(request) {
      asked.push(request);
      return { feasible: true };
    },
    ...options.scheduling,
  };
  const catalogue: CataloguePort = {
    services: [
      {
        kind: "test.work",
        route: "POST /generate/test",
        scope: "generate:other",
        summary: "Work",
        bodySchema: {} as never,
        example: {},
      },
    ],
    resolve: options.resolve ?? (async () => RESOLVED),
  };
  const streams = createEventStreams();
  const routes = [
    ...workRoutes({
      jobs,
      streams,
      catalogue,
      scheduling,
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
    }),
    ...jobRoutes({ jobs, scheduling, streams, sockets: createJobSockets(), maxSockets: 1 }),
  ];
  const principal = { keyId: "key", name: "k", scopes: new Set<any>(), limits: KEY_LIMITS };
  const app = createHttp({
    routes,
    admit: () => ({ principal, headers: {} }),
    ids: createIds(),
    log: silentLog,
    boundHost: "127.0.0.1",
    allowedHosts: [],
    allowedOrigins: [],
    maxBodyBytes: 1_000_000,
  });
  const connection = { peer: "", keepOpen() {}, upgrade: () => false };
  async function call(method: string, path: string, headers: Record<string, string> = {}) {
    const body = method === "POST" ? "{}" : undefined;
    const init = {
      method,
      body,
      headers: { host: "127.0.0.1", "content-type": "application/json", ...headers },
    };
    const answer = await app(new Request(`http://127.0.0.1${path}`, init), connection);
    return { status: answer.status, ...((await answer.json()) as any) };
  }
  const checked = createCheck(explanationSchema);
  return {
    world,
    asked,
    call,
    async explain(id: string) {
      const { status, data } = await call("GET", `/jobs/${id}/explain`);
      expect(status).toBe(200);
      expect(checked(data)).toMatchObject({ ok: true });
      return data;
    },
  };
}

describe("?dry_run=true", () => {
  const counts = (world: World) => [world.jobs.list({ limit: 10 }).length, world.events.length];

  test("asks the scheduler what would become of the request, and makes no job", async () => {
    const { world, asked, call } = open();
    const headers = { "x-priority": "interactive", "idempotency-key": "k", prefer: "wait=5" };
    const first = await call("POST", "/generate/test?dry_run=true", headers);
    expect(first).toMatchObject({ status: 200, data: { feasible: true } });
    expect(asked).toMatchObject([{ keyId: "key", choices: RESOLVED.choices, priority: 8 }]);
    expect(asked[0].startByMs).toBeGreaterThan(performance.now() + 50_000);
    expect(counts(world)).toEqual([0, 0]);
    // The key is still free for the real request.
    const real = await call("POST", "/generate/test", { "idempotency-key": "k" });
    expect(real.status).toBe(202);
    const again = await call("POST", "/generate/test?dry_run=true", { "idempotency-key": "k" });
    expect(again.data).toEqual({ feasible: true });
  });

  test("answers that a request can never fit, with the reason", async () => {
    const details = { device: "gpu0", needed_mib: 2, available_mib: 1 };
    const { call, asked } = open({
      resolve: () => Promise.reject(new GatewayError("INFEASIBLE_VRAM", "too much", { details })),
    });
    const { status, data } = await call("POST", "/generate/test?dry_run=true");
    expect(status).toBe(200);
    expect(data).toMatchObject({ feasible: false, device: "gpu0", reason: "too much" });
    expect(createCheck(dryRunSchema)(data)).toMatchObject({ ok: true });
    expect(asked).toEqual([]);
    expect((await call("POST", "/generate/test")).error.code).toBe("INFEASIBLE_VRAM");
  });

  test("refuses what a real request would be refused for, and counts nothing", async () => {
    const { world, call } = open();
    world.admission.hold();
    for (let count = 0; count < 5; count++) {
      expect((await call("POST", "/generate/test?dry_run=true")).status).toBe(200);
    }
    await call("POST", "/generate/test");
    await call("POST", "/generate/test");
    const refused = await call("POST", "/generate/test?dry_run=true");
    expect(refused).toMatchObject({ status: 429, error: { code: "QUOTA_EXCEEDED" } });
    const down = open({ resolve: () => Promise.reject(new GatewayError("SERVICE_UNAVAILABLE")) });
    expect((await down.call("POST", "/generate/test?dry_run=true")).status).toBe(503);
  });

  test("is true or false, and false is a real request", async () => {
    const { world, call } = open();
    const odd = await call("POST", "/generate/test?dry_run=maybe");
    expect(odd).toMatchObject({ status: 422, error: { code: "VALIDATION_FAILED" } });
    expect((await call("POST", "/generate/test?dry_run=false")).status).toBe(202);
    expect(world.jobs.list({ limit: 10 })).toHaveLength(1);
  });
});

describe("explain", () => {
  const waitsFor = { reason: "memory", message: "It waits for 5 MiB on gpu0", free_mib: 1 };
  const KNOWN = {
    job_id: "",
    waits_for: waitsFor,
    dispatch: { position: 3, exact: true },
    eta: { start: { p50_ms: 1, p90_ms: 2 }, end: null },
    eta_unknown: null,
    places: [{ backend: "work", model: "m", device: "gpu0", feasible: true }],
  };

  test("of a waiting job says what the scheduler says", async () => {
    const { world, explain } = open({
      scheduling: { explain: (job_id) => ({ ...KNOWN, job_id }) },
    });
    world.admission.hold();
    const id = await world.submit();
    expect(await explain(id)).toMatchObject({
      ...KNOWN,
      job_id: id,
      status: "pending",
      phase: "queued",
      message: waitsFor.message,
      backend: "work",
      device: null,
      lease: null,
    });
  });

  test("of a job in the pause before its next attempt says until when", async () => {
    const { world, explain } = open({
      random: () => 1,
      run() {
        throw new BackendError("BACKEND_UNREACHABLE", "gone");
      },
    });
    const id = await world.submit();
    while (!world.events.some(({ type }) => type === "job.requeued")) await turn();
    const explained = await explain(id);
    expect(explained.waits_for.reason).toBe("retry_later");
    const atMs = world.jobs.get(id)?.runAfter ?? 0;
    expect(explained.message).toContain(new Date(atMs).toISOString());
    expect(explained.eta).toBeNull();
  });

  test("of a running job says where and since when; of an ended one how it ended", async () => {
    let finish = () => {};
    const { world, explain } = open({
      run: (job) =>
        new Promise((resolve) => {
          job.progress(0.25);
          finish = () => resolve({});
        }),
    });
    const demand = { model: "m", residentMiB: 1, workingMiB: 1 };
    const id = await world.submit({ choices: [{ backend: "work", demand }] });
    while (world.jobs.get(id)?.progress === null) await turn();
    const running = await explain(id);
    expect(running).toMatchObject({ status: "running", device: "gpu0", lease: "running" });
    expect(running.message).toBe(
      `It has been computing on gpu0 with work since ${running.since}; 25 % done`,
    );
    finish();
    await world.ended(id);
    while (world.jobs.holding(id)) await turn();
    const ended = await explain(id);
    expect(ended).toMatchObject({ status: "completed", phase: null, lease: null, places: [] });
    expect(ended.message).toBe(`It ran on gpu0 with work and completed at ${ended.since}`);
  });

  test("of a cancelled job says that its server has not stopped yet", async () => {
    const { world, explain } = open({ run: () => new Promise(() => {}) });
    const id = await world.submit();
    while (world.jobs.get(id)?.status !== "running") await turn();
    await world.jobs.cancel(id, "test");
    const explained = await explain(id);
    expect(explained).toMatchObject({ status: "cancelled", lease: "stopping" });
    expect(explained.message).toContain("has not yet");
  });

  test("of a job that never began, or of somebody else's", async () => {
    const { world, explain, call } = open();
    world.admission.hold();
    const id = await world.submit();
    await world.jobs.cancel(id, "test");
    expect((await explain(id)).message).toContain("without having begun");
    const theirs = await world.submit({ keyId: "other" });
    expect((await call("GET", `/jobs/${theirs}/explain`)).status).toBe(404);
  });
});
