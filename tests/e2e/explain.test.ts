/** `GET /jobs/{id}/explain` on a real gateway, for jobs that wait, run and have ended. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { explanationSchema } from "../../core/jobs/explain.ts";
import { createCheck } from "../../core/validation.ts";
import { eventually, type Gateway, RUNTIME, startGateway } from "../gateway.ts";

const WEIGHTS = resolve(import.meta.dir, "..", "fixtures", "plugins", "weights", "plugin.ts");

describe(`explanations on ${RUNTIME}`, () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      config: `
auth: { limits: { requests_per_minute: 0 } }
devices:
  gpu0: { memory_mib: 4096, probe: none }
backends:
  first: { use: ${WEIGHTS}, concurrency: 1 }
  second: { use: ${WEIGHTS}, concurrency: 1 }
`,
    });
  });
  afterAll(() => gateway.remove());

  const submit = async (body: object) =>
    (await gateway.call("POST", "/generate/weights", { mib: 2_000, ...body })).data
      .job_id as string;
  const check = createCheck(explanationSchema);
  async function explain(id: string): Promise<any> {
    const { status, data } = await gateway.call("GET", `/jobs/${id}/explain`);
    expect([id, status]).toEqual([id, 200]);
    expect(check(data)).toMatchObject({ ok: true });
    return data;
  }
  const statusOf = async (id: string) => (await gateway.call("GET", `/jobs/${id}`)).data.status;

  test("a waiting job: what for, its place, where it could run; then where it ran", async () => {
    const running = await submit({ ms: 600_000, backend: "first" });
    await eventually("it runs", async () => (await statusOf(running)) === "running");
    const waiting = await submit({ ms: 1, backend: "first" });
    const behind = await submit({ ms: 1, backend: "first" });

    const now = await explain(running);
    expect(now).toMatchObject({ status: "running", device: "gpu0", lease: "running", places: [] });
    expect(now.message).toContain("gpu0");

    const why = await explain(waiting);
    expect(why).toMatchObject({
      job_id: waiting,
      status: "pending",
      dispatch: { position: 0 },
      places: [{ backend: "first", device: "gpu0", model: "weights" }],
    });
    expect(why.message).toBe(why.waits_for.message);
    const { queue } = (await gateway.call("GET", `/jobs/${waiting}`)).data;
    expect(queue.wait_reason).toBe(why.waits_for.reason);
    expect((await explain(behind)).dispatch.position).toBe(1);

    await gateway.call("DELETE", `/jobs/${running}`);
    await gateway.ended(waiting);
    await gateway.ended(behind);
    expect(await explain(waiting)).toMatchObject({ status: "completed", device: "gpu0" });
    expect((await explain(running)).message).toContain("was cancelled");
  });

  test("a job that may run on either of two backends runs on the one that is free", async () => {
    const running = await submit({ ms: 600_000, mib: 0, backend: "first" });
    await eventually("it runs", async () => (await statusOf(running)) === "running");
    const open = await submit({ ms: 1, mib: 0 });
    expect(await gateway.ended(open)).toMatchObject({ backend: "second", status: "completed" });
    await gateway.call("DELETE", `/jobs/${running}`);
  });

  test("a job of another key is 404, unless the key has jobs:admin", async () => {
    const id = await submit({ ms: 1 });
    const scopes = ["generate:other", "jobs:read"];
    const { key } = (await gateway.call("POST", "/auth/keys", { name: "c", scopes })).data;
    const theirs = await gateway.call("GET", `/jobs/${id}/explain`, undefined, { key });
    expect(theirs).toMatchObject({ status: 404, error: { code: "NOT_FOUND" } });
    const { data } = await gateway.call("POST", "/generate/weights", { mib: 0 }, { key });
    const own = await gateway.call("GET", `/jobs/${data.job_id}/explain`, undefined, { key });
    expect(own.status).toBe(200);
    expect((await explain(data.job_id)).job_id).toBe(data.job_id);
  });
});
