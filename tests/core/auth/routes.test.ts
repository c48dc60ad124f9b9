import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Value } from "@sinclair/typebox/value";
import { authRoutes, PRESETS } from "../../../core/auth/mod.ts";
import type { Route } from "../../../core/http/mod.ts";
import { type Asked, ask, createWorld, refusalOf, type World } from "./setup.ts";

let world: World;
let routes: Route[];
beforeEach(() => {
  world = createWorld({ limits: { requestsPerMinute: 1_000, activeJobs: 5 } });
  routes = authRoutes(world.auth);
});
afterEach(() => world.close());

const call = (name: string, asked: Asked = {}) => ask(world.auth, routes, name, asked);
const create = async (key: string, body: Record<string, unknown>) =>
  (await call("POST /auth/keys", { key, body: { name: "made", ...body } })).data;
const refusedCreate = (key: string, body: Record<string, unknown>) =>
  refusalOf(call("POST /auth/keys", { key, body: { name: "made", ...body } }));
const idOf = (key: string) => key.slice(3, 11);

describe("making keys with a key", () => {
  test("gives the client preset unless told otherwise", async () => {
    const admin = await world.key({ preset: "admin" });
    expect((await create(admin, {})).scopes).toEqual([...PRESETS.client]);
    expect((await create(admin, { preset: "readonly" })).scopes).toEqual([...PRESETS.readonly]);
    expect((await create(admin, { scopes: ["tts", "tts"] })).scopes).toEqual(["tts"]);
    expect((await refusedCreate(admin, { preset: "client", scopes: ["tts"] })).code).toBe(
      "VALIDATION_FAILED",
    );
  });

  test("never gives a scope that the asking key lacks, keys:admin or not", async () => {
    const client = await world.key({ preset: "client" });
    const keysOnly = await world.key({ scopes: ["keys:admin"] });
    for (const key of [client, keysOnly]) {
      const error = await refusedCreate(key, { scopes: ["gpu:admin"] });
      expect(error.code).toBe("FORBIDDEN_SCOPE");
      expect(error.details).toEqual({ scopes: ["gpu:admin", "gpu:read", "gpu:lease"] });
      expect((await refusedCreate(key, { preset: "admin" })).code).toBe("FORBIDDEN_SCOPE");
    }
    expect((await create(client, { scopes: ["tts"] })).created_by).toBe(`parent:${idOf(client)}`);
  });

  test("gives what an owned scope implies", async () => {
    const key = await world.key({ scopes: ["jobs:admin"] });
    expect((await create(key, { scopes: ["jobs:read"] })).scopes).toEqual(["jobs:read"]);
  });

  test("never lets a key outlive the one that made it", async () => {
    const endMs = world.clock.nowMs() + 60_000;
    for (const preset of ["client", "admin"] as const) {
      const parent = await world.key({ preset, expiresAtMs: endMs });
      expect((await create(parent, { preset: "client" })).expires_at).toBe(
        new Date(endMs).toISOString(),
      );
      const later = { preset: "client", expires_in_ms: 60_001 };
      expect((await refusedCreate(parent, later)).code).toBe("VALIDATION_FAILED");
      const sooner = await create(parent, { preset: "client", expires_in_ms: 30_000 });
      expect(Date.parse(sooner.expires_at)).toBe(endMs - 30_000);
    }
  });

  test("never raises a limit, nor lifts it, without keys:admin", async () => {
    const parent = await world.key({
      scopes: ["tts"],
      limits: { requestsPerMinute: 20, activeJobs: 2 },
    });
    const scopes = ["tts"];
    expect((await create(parent, { scopes })).limits).toEqual({
      requests_per_minute: 20,
      active_jobs: 2,
      gpu_weight: 1,
    });
    for (const limits of [{ requests_per_minute: 21 }, { active_jobs: 0 }, { gpu_weight: 2 }]) {
      expect((await refusedCreate(parent, { scopes, limits })).code).toBe("FORBIDDEN_SCOPE");
    }
    const lower = await create(parent, { scopes, limits: { active_jobs: 1 } });
    expect(lower.limits).toEqual({ requests_per_minute: 20, active_jobs: 1, gpu_weight: 1 });
    const admin = await world.key({ scopes: ["tts", "keys:admin"] });
    const raised = await create(admin, { scopes, limits: { active_jobs: 100 } });
    expect(raised.limits.active_jobs).toBe(100);
  });

  test("a sub-key makes none, and a key has at most 32", async () => {
    const parent = await world.key({ scopes: ["tts"] });
    const sub = await create(parent, { scopes: ["tts"] });
    expect((await refusedCreate(sub.key, { scopes: ["tts"] })).code).toBe("FORBIDDEN_SCOPE");
    for (let round = 1; round < 32; round++) await create(parent, { scopes: ["tts"] });
    expect((await refusedCreate(parent, { scopes: ["tts"] })).code).toBe("QUOTA_EXCEEDED");
    await call("DELETE /auth/keys/:id", { key: parent, params: { id: sub.id } });
    expect((await create(parent, { scopes: ["tts"] })).key).toStartWith("sy_");
  });

  test("refuses times that are no times", async () => {
    const admin = await world.key({ preset: "admin" });
    for (const body of [
      { expires_at: "tomorrow" },
      { expires_at: "2030-01-01" },
      { expires_at: "2030-01-01T00:00:00" },
      { expires_at: "2030-13-01T00:00:00Z" },
      { expires_at: "2020-01-01T00:00:00Z" },
      { expires_at: "2030-01-01T00:00:00Z", expires_in_ms: 1_000 },
    ]) {
      const { code, details } = await refusedCreate(admin, body);
      expect(code).toBe("VALIDATION_FAILED");
      expect(details).toMatchObject({ errors: [{ field: expect.stringMatching(/^\/expires_/) }] });
    }
    const made = await create(admin, { expires_at: "2030-01-01T02:00:00+02:00" });
    expect(made.expires_at).toBe("2030-01-01T00:00:00.000Z");
  });

  test("keeps to the longest life that the operator allows", async () => {
    world.close();
    world = createWorld({ maxKeyLifetimeMs: 86_400_000 });
    routes = authRoutes(world.auth);
    const admin = await world.key({ preset: "admin" });
    const latest = new Date(world.clock.nowMs() + 86_400_000).toISOString();
    expect((await create(admin, {})).expires_at).toBe(latest);
    world.clock.advance(-1);
    const error = await refusedCreate(admin, { expires_in_ms: 86_400_001 });
    expect(error.code).toBe("VALIDATION_FAILED");
  });
});

describe("looking at keys", () => {
  test("lists them newest first, page by page, without a secret", async () => {
    const keys: string[] = [];
    for (let round = 0; round < 5; round++) {
      keys.push(await world.key({ name: `key ${round}`, preset: "admin" }));
      world.clock.advance(round % 2);
    }
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const { data } = await call("GET /auth/keys", { key: keys[0], query: { limit: 2, after } });
      expect(data.has_more).toBe(data.next_cursor !== null);
      seen.push(...data.items.map((item: { id: string }) => item.id));
      after = data.next_cursor ?? undefined;
      for (const key of keys) expect(JSON.stringify(data)).not.toContain(key.slice(12, 44));
    } while (after);
    expect(seen.toSorted()).toEqual(keys.map(idOf).toSorted());
    expect(seen[0]).toBe(idOf(keys[4]!));
  });

  test("shows one's own and one's sub-keys; others do not exist", async () => {
    const mine = await world.key({ scopes: ["tts"] });
    const other = await world.key({ scopes: ["tts"] });
    const sub = await create(mine, { scopes: ["tts"] });
    for (const id of [idOf(mine), sub.id]) {
      const { data } = await call("GET /auth/keys/:id", { key: mine, params: { id } });
      expect(data.id).toBe(id);
      expect(data.key).toBeUndefined();
    }
    const asked = { key: mine, params: { id: idOf(other) }, body: { grace_ms: 0 } };
    for (const name of [
      "GET /auth/keys/:id",
      "DELETE /auth/keys/:id",
      "POST /auth/keys/:id/rotate",
    ]) {
      expect((await refusalOf(call(name, asked))).code).toBe("NOT_FOUND");
    }
    expect((await refusalOf(call("GET /auth/keys", { key: mine }))).code).toBe("FORBIDDEN_SCOPE");
  });

  test("notes the last use, at most once a minute", async () => {
    const key = await world.key();
    const lastUse = () => {
      world.database.flush();
      return world.auth.keys.page(1)[0]?.lastUsedAt;
    };
    const start = world.clock.nowMs();
    await call("GET /auth/me", { key });
    expect(lastUse()).toBe(start);
    world.clock.advance(59_999);
    await call("GET /auth/me", { key });
    expect(lastUse()).toBe(start);
    world.clock.advance(1);
    await call("GET /auth/me", { key });
    expect(lastUse()).toBe(start + 60_000);
  });
});

describe("rotating", () => {
  const rotate = (key: string, id: string, graceMs?: number) =>
    call("POST /auth/keys/:id/rotate", { key, params: { id }, body: { grace_ms: graceMs } });
  const works = (key: string) =>
    call("GET /auth/me", { key }).then(
      () => true,
      () => false,
    );

  test("gives a new secret under the same id and keeps the old one for the grace", async () => {
    const old = await world.key({ scopes: ["tts"] });
    const { data } = await rotate(old, idOf(old), 60_000);
    expect(data.id).toBe(idOf(old));
    expect(data.key).not.toBe(old);
    expect([await works(old), await works(data.key)]).toEqual([true, true]);
    world.clock.advance(59_999);
    expect(await works(old)).toBe(true);
    world.clock.advance(1);
    expect([await works(old), await works(data.key)]).toEqual([false, true]);
  });

  test("without grace ends the old secret at once", async () => {
    const old = await world.key();
    const ended: string[] = [];
    world.auth.onRevoked((id) => ended.push(id));
    const { data } = await rotate(old, idOf(old), 0);
    expect([await works(old), await works(data.key)]).toEqual([false, true]);
    expect(ended).toEqual([idOf(old)]);
  });

  test("twice leaves the first secret behind, whatever its grace was", async () => {
    const first = await world.key();
    const second = (await rotate(first, idOf(first), 60_000)).data.key;
    await rotate(second, idOf(first), 60_000);
    expect([await works(first), await works(second)]).toEqual([false, true]);
  });

  test("does not hand out a stronger key than the one that asks", async () => {
    const strong = await world.key({ preset: "admin" });
    const keysOnly = await world.key({ scopes: ["keys:admin"] });
    const error = await refusalOf(rotate(keysOnly, idOf(strong), 0));
    expect(error.code).toBe("FORBIDDEN_SCOPE");
    expect(await works(strong)).toBe(true);
  });

  test("does not bring a revoked key back", async () => {
    const admin = await world.key({ preset: "admin" });
    const key = await world.key();
    await call("DELETE /auth/keys/:id", { key: admin, params: { id: idOf(key) } });
    expect((await refusalOf(rotate(admin, idOf(key), 0))).code).toBe("NOT_FOUND");
  });
});

test("every route says who may call it, and its examples fit its schemas", () => {
  for (const { method, path, policy, docs, body } of routes) {
    const where = `${method} ${path}`;
    expect(`${where} ${policy.access}`).toMatch(/ (?:any|bootstrap|keys:admin)$/);
    expect(docs.summary.length).toBeGreaterThan(10);
    expect([where, ...Value.Errors(docs.data!, docs.exampleData)]).toEqual([where]);
    if (body) expect([where, ...Value.Errors(body, docs.exampleBody)]).toEqual([where]);
  }
});

test("bodies with scopes, presets or names that cannot be are refused by the schema", () => {
  const { body } = routes.find(({ path, method }) => path === "/auth/keys" && method === "POST")!;
  for (const wrong of [
    {},
    { name: "" },
    { name: "a\u0000b" },
    { name: "a", scopes: ["root"] },
    { name: "a", scopes: [] },
    { name: "a", preset: "god" },
    { name: "a", limits: { active_jobs: -1 } },
  ]) {
    expect(Value.Check(body!, wrong)).toBe(false);
  }
  expect(Value.Check(body!, { name: "Küche 🎛", scopes: ["tts"] })).toBe(true);
});
