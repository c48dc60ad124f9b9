import { afterEach, expect, test } from "bun:test";
import { authRoutes, createAuth, createKeyStore, mintKey } from "../../../core/auth/mod.ts";
import { systemClock } from "../../../core/clock.ts";
import {
  ANY,
  ask,
  createWorld,
  open,
  peer,
  refusal,
  request,
  SETTINGS,
  until,
  type World,
} from "./setup.ts";

let world: World;
afterEach(() => world.close());

const admit = (key: string) =>
  world.auth.guard.admit(request("/x", { "x-api-key": key }), "/x", ANY, peer());
const idOf = (key: string) => key.slice(3, 11);

test("a key revoked through the API is refused at once, with its sub-keys", async () => {
  world = createWorld();
  const routes = authRoutes(world.auth);
  const admin = await world.key({ preset: "admin" });
  const key = await world.key({ scopes: ["tts"] });
  const made = await ask(world.auth, routes, "POST /auth/keys", {
    key,
    body: { name: "sub", scopes: ["tts"] },
  });
  const sub: string = made.data.key;
  const ended: string[] = [];
  world.auth.onRevoked((id) => ended.push(id));
  const { data } = await ask(world.auth, routes, "DELETE /auth/keys/:id", {
    key: admin,
    params: { id: idOf(key) },
  });
  expect(data.revoked_at).toBe(new Date(world.clock.nowMs()).toISOString());
  for (const gone of [key, sub]) {
    expect(refusal(() => admit(gone)).details?.hint).toContain("revoked");
    expect(world.auth.isValid(idOf(gone))).toBe(false);
  }
  expect(ended.toSorted()).toEqual([idOf(key), idOf(sub)].toSorted());
  expect(world.auth.isValid(idOf(admin))).toBe(true);
});

test("what another process makes, revokes or rotates counts within a second", async () => {
  world = createWorld();
  const key = await world.key();
  const store = createKeyStore(world.otherDatabase());
  const terms = { name: "cli", scopes: ["tts"], limits: {}, expiresAt: null };
  const minted = mintKey(terms, "cli", world.clock.nowMs());
  await store.create(minted.row);
  world.clock.advance(1_000);
  expect(admit(minted.text).principal?.name).toBe("cli");
  await store.revoke(idOf(key), world.clock.nowMs());
  world.clock.advance(1_000);
  expect(refusal(() => admit(key)).code).toBe("UNAUTHORIZED");
  await store.rotate(minted.row.id, "x".repeat(32), 0, world.clock.nowMs());
  world.clock.advance(1_000);
  expect(refusal(() => admit(minted.text)).code).toBe("UNAUTHORIZED");
});

test("open sockets hear of another process's revocation within a second, without a request", async () => {
  world = createWorld();
  const key = await world.key();
  const heard: string[] = [];
  world.auth.onRevoked(() => {
    throw new Error("a listener that breaks");
  });
  const stop = world.auth.onRevoked((id) => heard.push(id));
  const start = performance.now();
  await createKeyStore(world.otherDatabase()).revoke(idOf(key), world.clock.nowMs());
  await until(() => heard.length > 0);
  expect(performance.now() - start).toBeLessThan(1_000);
  expect(heard).toEqual([idOf(key)]);
  stop();
});

test("a key that expires is refused from that moment, and its sockets are told once", async () => {
  world = createWorld();
  const key = await world.key({ expiresAtMs: world.clock.nowMs() + 5_000 });
  const heard: string[] = [];
  world.auth.onRevoked((id) => heard.push(id));
  world.clock.advance(4_999);
  expect(admit(key).principal?.expiresAtMs).toBe(world.clock.nowMs() + 1);
  world.clock.advance(1);
  expect(refusal(() => admit(key)).code).toBe("UNAUTHORIZED");
  expect(world.auth.isValid(idOf(key))).toBe(false);
  world.clock.advance(1_000);
  refusal(() => admit(key));
  world.clock.advance(1_000);
  refusal(() => admit(key));
  expect(heard).toEqual([idOf(key)]);
});

test("keys outlive a restart", async () => {
  world = createWorld();
  const key = await world.key({ name: "kept" });
  const again = createAuth({
    database: open(world.folder, systemClock),
    clock: systemClock,
    settings: SETTINGS,
    startedAtMonotonicMs: systemClock.monotonicMs(),
  });
  const admitted = again.guard.admit(request("/x", { "x-api-key": key }), "/x", ANY, peer());
  expect(admitted.principal?.name).toBe("kept");
  expect(again.isBootstrapOpen()).toBe(false);
  again.close();
});
