/** Leases of external programs that end in unusual ways. */
import { afterEach, describe, expect, test } from "bun:test";
import { leaseRoutes } from "../../../core/vram/lease-routes.ts";
import { openYard, type Yard } from "./yard.ts";

let yard: Yard;
afterEach(() => yard?.close());

const ASK = { keyId: "key", name: "game", heavy: true, ttlMs: 60_000, priority: 5 };
const gpu0 = () => yard.vram.devices.get("gpu0")!;

/** POST /leases as the application calls it. */
function post(signal: AbortSignal) {
  const routes = leaseRoutes(yard.vram.leases, () => false);
  const { handle } = routes.find(({ method, path }) => `${method} ${path}` === "POST /leases")!;
  const url = "http://localhost/leases";
  return handle({
    body: { name: "game", mib: 20_000, ttl_s: 60, heavy: true },
    principal: { keyId: "key", scopes: new Set() },
    request: new Request(url, { method: "POST", headers: { prefer: "wait=30" }, signal }),
    connection: { keepOpen() {} },
  } as any);
}

describe("a lease", () => {
  test("whose client went away while it waited is not kept for nobody", async () => {
    yard = await openYard([{ name: "a" }]);
    const job = yard.ask({ on: "a", residentMiB: 16_000 });
    await job.settled;
    const client = new AbortController();
    const answer = Promise.resolve(post(client.signal)).catch(() => undefined);
    expect(yard.vram.leases.list()).toHaveLength(1);
    client.abort();
    await answer;
    expect(yard.vram.leases.list()).toHaveLength(0);
    job.end();
    expect(gpu0()).toMatchObject({ heldMiB: 16_000, promisedMiB: 0, running: 0 });
  });

  test("given back while room is made for it leaves no promise behind", async () => {
    yard = await openYard([{ name: "a" }]);
    let finish = () => {};
    (yard.backend("a").port as any).free = () =>
      new Promise<void>((resolve) => {
        finish = () => {
          yard.backend("a").held.clear();
          yard.card.set("a", 0);
          resolve();
        };
      });
    const job = yard.ask({ on: "a", residentMiB: 16_000 });
    await job.settled;
    job.end();
    const { id } = yard.vram.leases.ask({ ...ASK, mib: 20_000 });
    expect(gpu0().promisedMiB).toBe(20_000);
    expect(yard.vram.leases.release(id)).toBe(true);
    expect(yard.vram.leases.release(id)).toBe(false);
    expect(gpu0()).toMatchObject({ promisedMiB: 0, leavingMiB: 16_000, loading: 0 });
    await Bun.sleep(5);
    finish();
    const next = yard.ask({ on: "a", residentMiB: 16_000 });
    await next.settled;
    expect(gpu0()).toMatchObject({ heldMiB: 16_000, leavingMiB: 0, promisedMiB: 0 });
  });

  test("that waits when the gateway stops is told so at once, and no other is taken", async () => {
    yard = await openYard([{ name: "a" }]);
    const job = yard.ask({ on: "a", residentMiB: 16_000 });
    await job.settled;
    const { id } = yard.vram.leases.ask({ ...ASK, mib: 20_000 });
    const waiting = yard.vram.leases.settled(id, 60_000, new AbortController().signal);
    await yard.close();
    expect((await waiting)?.state).toBe("waiting");
    expect(() => yard.vram.leases.ask({ ...ASK, mib: 1 })).toThrow();
  });

  test("that holds more than its device has left keeps others off until it ends", async () => {
    yard = await openYard([{ name: "a" }]);
    const { id } = yard.vram.leases.ask({ ...ASK, heavy: false, mib: 20_000 });
    gpu0().limitMiB = 10_000;
    yard.vram.scheduler.reconsider();
    const job = yard.ask({ on: "a", residentMiB: 8_000 });
    expect(job.lease).toBeUndefined();
    yard.vram.leases.release(id);
    await job.settled;
    expect(gpu0().heldMiB).toBe(8_000);
  });
});
