/** `?dry_run=true` on a real gateway: what would become of a request, without a job. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { dryRunSchema } from "../../core/jobs/dry-run.ts";
import { createCheck } from "../../core/validation.ts";
import { eventually, type Gateway, RUNTIME, startGateway } from "../gateway.ts";
import { PUPPET } from "./table.ts";

const WEIGHTS = resolve(import.meta.dir, "..", "fixtures", "plugins", "weights", "plugin.ts");

describe(`dry runs on ${RUNTIME}`, () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      config: `
auth: { limits: { requests_per_minute: 0 } }
devices:
  gpu0: { memory_mib: 4096, probe: none }
  tiny: { memory_mib: 600, headroom_mib: 500, probe: none }
backends:
  small: { use: ${WEIGHTS}, device: tiny }
  large: { use: ${WEIGHTS}, device: gpu0 }
  puppet: { use: ${PUPPET}, down: "no strings" }
`,
    });
    await eventually("the backends are looked at", async () => {
      const { data } = await gateway.call("GET", "/backends");
      return data.every(({ status }: any) => status !== "starting");
    });
  });
  afterAll(() => gateway.remove());

  const dry = (body: object, headers: Record<string, string> = {}) =>
    gateway.call("POST", "/generate/weights?dry_run=true", body, { headers });
  const jobs = async () => (await gateway.call("GET", "/jobs")).data.items.length;
  const check = createCheck(dryRunSchema);

  test("says where it would run and what it costs, as documented, and makes no job", async () => {
    const { status, data } = await dry({ mib: 2_000 });
    expect(status).toBe(200);
    expect(check(data)).toMatchObject({ ok: true });
    expect(data).toMatchObject({ feasible: true, backend: "large", device: "gpu0", evictions: [] });
    expect(data.cost).toMatchObject({ resident_mib: 2_000, working_mib: 0, source: "declared" });
    const light = await dry({ mib: 0 });
    expect(check(light.data)).toMatchObject({ ok: true });
    expect(light.data).toMatchObject({ feasible: true, device: null });
    expect(await jobs()).toBe(0);
  });

  test("says that it can never fit, where a real request is refused", async () => {
    const bodies = [{ mib: 2_000, backend: "small" }, { mib: 100_000 }];
    for (const body of bodies) {
      const { status, data } = await dry(body);
      expect(status).toBe(200);
      expect(check(data)).toMatchObject({ ok: true });
      expect(data).toMatchObject({ feasible: false, device: "tiny" });
      const real = await gateway.call("POST", "/generate/weights", body);
      expect(real).toMatchObject({ status: 422, error: { code: "INFEASIBLE_VRAM" } });
      expect(real.error.message).toBe(data.reason);
    }
  });

  test("is refused like a real request: a wrong body, a backend that is down", async () => {
    expect(await dry({ mib: -1 })).toMatchObject({ status: 422 });
    const down = await gateway.call("POST", "/generate/dance?dry_run=true", { text: "a jig" });
    expect(down).toMatchObject({ status: 503, error: { code: "SERVICE_UNAVAILABLE" } });
  });

  test("does not use an Idempotency-Key up, nor answers with the job that has it", async () => {
    const headers = { "idempotency-key": "once" };
    expect((await dry({ mib: 1 }, headers)).status).toBe(200);
    const real = await gateway.call("POST", "/generate/weights", { mib: 1 }, { headers });
    expect(real.status).toBe(202);
    expect((await dry({ mib: 2 }, headers)).data.feasible).toBe(true);
    expect(await jobs()).toBe(1);
  });
});
