/** Leases over REST: a game or a training script gets its part of the card, and gives it back. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { allocate } from "../../core/vram/probes/mod.ts";
import { type Answer, eventually, type Gateway, RUNTIME, startGateway } from "../gateway.ts";
import { createYard, runJob, submitJob, type Yard } from "../reliability/vram-yard.ts";

const LIMIT_MS = 30_000;
const PAINTER_MIB = 16_384;
const GAME_MIB = 12_288;

describe(`leases on ${RUNTIME}`, () => {
  let yard: Yard;
  let gateway: Gateway;
  beforeAll(async () => {
    yard = await createYard();
    const more = { runs_ms: 50 };
    await yard.add("painter", { models: { canvas: { mib: PAINTER_MIB } }, more });
    gateway = await startGateway({ folder: yard.folder, config: yard.config() });
  });
  afterAll(async () => {
    await gateway?.remove();
    await yard.close();
  });
  afterEach(async () => {
    for (const { lease_id } of (await get("/leases")).data.leases) await release(lease_id);
    expect((await gateway.call("POST", "/vram/free", { all: true })).data.kept).toEqual([]);
  });

  const get = (path: string) => gateway.call("GET", path);
  const ask = (body: object, waitS = 0, key = gateway.key) =>
    gateway.call(
      "POST",
      "/leases",
      { name: "game", mib: GAME_MIB, ttl_s: 60, ...body },
      {
        key,
        headers: waitS > 0 ? { prefer: `wait=${waitS}` } : {},
      },
    );
  const release = (id: string) => gateway.call("DELETE", `/leases/${id}`);
  const device = async () => (await get("/vram")).data.devices[0];
  const status = async (id: string) => (await get(`/jobs/${id}`)).data.status;
  const running = (id: string) =>
    eventually(`${id} runs`, async () => (await status(id)) === "running");

  test("what is free is granted at once, is counted, and comes back with DELETE", async () => {
    const { status, data, headers } = await ask({});
    expect(status).toBe(201);
    const { lease_id } = data;
    expect(headers.get("location")).toBe(`/leases/${lease_id}`);
    expect(data).toMatchObject({
      name: "game",
      status: "granted",
      device: "gpu0",
      mib: GAME_MIB,
      heavy: true,
      pid: null,
      ttl_s: 60,
    });
    expect(Date.parse(data.expires_at) - Date.parse(data.granted_at)).toBeCloseTo(60_000, -2);
    expect((await get(`/leases/${lease_id}`)).data).toEqual(data);
    expect((await get("/leases")).data.leases).toEqual([data]);
    const { held_mib, available_mib, leases, residents } = await device();
    expect([held_mib, available_mib]).toEqual([GAME_MIB, yard.totalMiB - GAME_MIB]);
    expect(leases).toMatchObject([{ kind: "external", lease_id, name: "game", mib: GAME_MIB }]);
    expect(residents).toEqual([]);
    expect((await release(lease_id)).data.status).toBe("ended");
    expect((await device()).available_mib).toBe(yard.totalMiB);
    expectError(await get(`/leases/${lease_id}`), 404, "NOT_FOUND");
    expectError(await release(lease_id), 404, "NOT_FOUND");
    expectError(await gateway.call("POST", `/leases/${lease_id}/renew`, {}), 404, "NOT_FOUND");
  });

  test("an idle model leaves for it, really, before it is granted", async () => {
    await runJob(gateway, "painter");
    expect(yard.usedMiB).toBe(PAINTER_MIB);
    const { status, data } = await ask({}, 20);
    expect([status, data.status]).toEqual([201, "granted"]);
    expect(await yard.ask("painter", "GET", "/residents")).toEqual([]);
    expect((await device()).used_mib).toBe(0);
  });

  test(
    "it waits for a model that computes, and jobs wait for it",
    async () => {
      const first = await submitJob(gateway, "painter", { ms: 1_200 });
      await running(first);
      const asked = await ask({});
      expect([asked.status, asked.data.status, asked.data.granted_at]).toEqual([
        202,
        "waiting",
        null,
      ]);
      const { lease_id } = asked.data;
      const settled = gateway.call("GET", `/leases/${lease_id}`, undefined, {
        headers: { prefer: "wait=20" },
      });
      expect((await gateway.ended(first)).status).toBe("completed");
      expect((await settled).data.status).toBe("granted");

      const second = await submitJob(gateway, "painter");
      const { data } = await get(`/jobs/${second}/explain`);
      expect(data.status).toBe("pending");
      expect(data.waits_for).toMatchObject({ reason: "pinned", needed_mib: PAINTER_MIB });
      expect(data.message).toContain("game");
      await release(lease_id);
      expect((await gateway.ended(second)).status).toBe("completed");
      expect(yard.peakMiB).toBe(PAINTER_MIB);
    },
    LIMIT_MS,
  );

  test(
    "a wait that is too short answers 202, and the lease goes on waiting",
    async () => {
      const job = await submitJob(gateway, "painter", { ms: 2_500 });
      await running(job);
      const { status, data } = await ask({}, 1);
      expect([status, data.status]).toEqual([202, "waiting"]);
      expect((await gateway.ended(job)).status).toBe("completed");
      await eventually("it is granted", async () => {
        const { data: now } = await get(`/leases/${data.lease_id}`);
        return now.status === "granted";
      });
    },
    LIMIT_MS,
  );

  test("it ends by itself when nobody renews it, and whoever waited goes on", async () => {
    const { data } = await ask({ ttl_s: 1 });
    const job = await submitJob(gateway, "painter");
    expect(await status(job)).toBe("pending");
    expect((await gateway.ended(job)).status).toBe("completed");
    expectError(await get(`/leases/${data.lease_id}`), 404, "NOT_FOUND");
    expect((await get("/leases")).data.leases).toEqual([]);
  });

  test("a renewed one stays, with the old time or a new one", async () => {
    const { data } = await ask({ ttl_s: 1 });
    const path = `/leases/${data.lease_id}/renew`;
    const longer = await gateway.call("POST", path, { ttl_s: 40 });
    expect(longer.data).toMatchObject({ status: "granted", ttl_s: 40 });
    const again = await gateway.call("POST", path, {});
    expect(again.data.ttl_s).toBe(40);
    const leftMs = Date.parse(again.data.expires_at) - Date.now();
    expect(leftMs).toBeGreaterThan(30_000);
    // Longer than the first time.
    const until = Date.now() + 1_300;
    await eventually("its first time is over", () => Date.now() > until);
    expect((await get(`/leases/${data.lease_id}`)).data.status).toBe("granted");
    const short = await gateway.call("POST", path, { ttl_s: 1 });
    expect(short.data.ttl_s).toBe(1);
    await eventually("it has ended", async () => (await device()).held_mib === 0);
  });

  test("its process is known by its number, and what it takes is not counted twice", async () => {
    const game = Bun.spawn(["sleep", "60"]);
    const { data } = await ask({ pid: game.pid });
    const memory = allocate(yard.device, GAME_MIB, "game", game.pid);
    await eventually("it is measured", async () => (await device()).used_mib === GAME_MIB);
    const during = await device();
    expect([during.held_mib, during.foreign_mib]).toEqual([GAME_MIB, 0]);
    expect(during.leases.map(({ kind }: any) => kind)).toEqual(["external"]);
    // Given back on paper, and still in use: then it is a stranger.
    await release(data.lease_id);
    const after = await eventually("it is a shadow", async () => {
      const now = await device();
      return now.foreign_mib === GAME_MIB && now;
    });
    expect(after.leases).toMatchObject([{ kind: "shadow", pid: game.pid, mib: GAME_MIB }]);
    memory.free();
    game.kill();
    await eventually("it is gone", async () => (await device()).foreign_mib === 0);
  });

  test("a light one computes beside heavy work, a heavy one does not", async () => {
    await yard.ask("painter", "GET", "/health").catch(() => undefined);
    const { data: light } = await ask({ mib: 1_024, heavy: false });
    const { data: heavy } = await ask({ mib: 1_024, heavy: true }, 5);
    const { data: second } = await ask({ mib: 1_024, heavy: true });
    expect([light.status, heavy.status, second.status]).toEqual(["granted", "granted", "waiting"]);
    expect((await device()).heavy).toEqual({ running: 1, limit: 1 });
    await release(heavy.lease_id);
    expect((await get(`/leases/${second.lease_id}`)).data.status).toBe("granted");
  });

  test("what can never be is refused, and says by how much", async () => {
    const tooMuch = await ask({ mib: 30_000 });
    expectError(tooMuch, 422, "INFEASIBLE_VRAM");
    expect(tooMuch.error.message).toContain("5424 MiB too much");
    const nowhere = await ask({ device: "gpu9" });
    expectError(nowhere, 422, "VALIDATION_FAILED");
    expect(nowhere.error.message + JSON.stringify(nowhere.error.details)).toContain("gpu0");
    for (const wrong of [{ mib: 0 }, { ttl_s: 0 }, { name: "" }, { mib: "much" }]) {
      expectError(await ask(wrong), 422, "VALIDATION_FAILED");
    }
  });

  test("a lease is its key's own; an operator sees and ends all of them", async () => {
    const made = await gateway.call("POST", "/auth/keys", { name: "a", scopes: ["gpu:lease"] });
    const other = await gateway.call("POST", "/auth/keys", { name: "b", scopes: ["gpu:lease"] });
    const { data } = await ask({}, 0, made.data.key);
    const path = `/leases/${data.lease_id}`;
    const as = (key: string) => ({ key });
    const list = await gateway.call("GET", "/leases", undefined, as(other.data.key));
    expect(list.data.leases).toEqual([]);
    for (const [method, where] of [
      ["GET", path],
      ["POST", `${path}/renew`],
      ["DELETE", path],
    ] as const) {
      const body = method === "POST" ? {} : undefined;
      const refused = await gateway.call(method, where, body, as(other.data.key));
      expectError(refused, 404, "NOT_FOUND");
    }
    expect((await get("/leases")).data.leases.length).toBe(1);
    expect((await release(data.lease_id)).status).toBe(200);
  });
});

function expectError({ status, error }: Answer, wanted: number, code: string): void {
  expect([status, error?.code]).toEqual([wanted, code]);
}
