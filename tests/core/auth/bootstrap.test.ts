/** SEC-06: the first key, and that nobody else gets it. */
import { afterEach, expect, test } from "bun:test";
import { authRoutes } from "../../../core/auth/mod.ts";
import { type Asked, ask, createWorld, open, refusal, refusalOf, type World } from "./setup.ts";

let world: World;
afterEach(() => world.close());

const create = (asked: Asked = {}) =>
  ask(world.auth, authRoutes(world.auth), "POST /auth/keys", { body: { name: "app" }, ...asked });

test("the first key comes without a key, from this machine, and is an admin's", async () => {
  world = createWorld();
  expect(world.auth.isBootstrapOpen()).toBe(true);
  const { status, data, headers } = await create();
  expect(status).toBe(201);
  expect(data).toMatchObject({ name: "app", created_by: "bootstrap", expires_at: null });
  expect(data.created_at).toBe(new Date(world.clock.nowMs()).toISOString());
  expect(data.scopes).toContain("keys:admin");
  expect(headers.Location).toBe(`/auth/keys/${data.id}`);
  expect(world.auth.isBootstrapOpen()).toBe(false);
  const { data: me } = await ask(world.auth, authRoutes(world.auth), "GET /auth/me", {
    key: data.key,
  });
  expect(me).toMatchObject({ id: data.id, name: "app", expires_at: null });
  const second = await refusalOf(create());
  expect(second.code).toBe("UNAUTHORIZED");
  expect(second.details?.hint).toContain("Keys exist already");
});

test("of 100 calls at once exactly one makes a key", async () => {
  world = createWorld();
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => create().catch((error: { code: string }) => error.code)),
  );
  const made = answers.filter((answer) => typeof answer !== "string");
  expect(made).toHaveLength(1);
  expect(new Set(answers.filter((answer) => typeof answer === "string"))).toEqual(
    new Set(["UNAUTHORIZED"]),
  );
  expect(world.auth.keys.page(10)).toHaveLength(1);
});

test("a key that the command line made a moment ago closes it, seen or not", async () => {
  world = createWorld();
  const other = open(world.folder, world.clock);
  const { createKeyStore, mintKey } = await import("../../../core/auth/mod.ts");
  const terms = { name: "cli", scopes: ["tts"], limits: {}, expiresAt: null };
  await createKeyStore(other).create(mintKey(terms, "cli", world.clock.nowMs()).row);
  other.close();
  expect((await refusalOf(create())).code).toBe("UNAUTHORIZED");
  expect(world.auth.keys.page(10)).toHaveLength(1);
});

test("not even a revoked key opens it again", async () => {
  world = createWorld();
  const { data } = await create();
  await ask(world.auth, authRoutes(world.auth), "DELETE /auth/keys/:id", {
    key: data.key,
    params: { id: data.id },
  });
  expect((await refusalOf(create())).code).toBe("UNAUTHORIZED");
});

const REFUSED: Record<string, Asked> = {
  "another machine": { peer: "192.168.1.20" },
  "an address that only begins like loopback": { peer: "127.0.0.1.example.com" },
  "another machine over IPv6": { peer: "fe80::1" },
  "an unknown peer": { peer: "" },
  "a web page": { headers: { origin: "http://localhost:1301" } },
  "a proxy (X-Forwarded-For)": { headers: { "x-forwarded-for": "127.0.0.1" } },
  "a proxy (X-Forwarded-Proto)": { headers: { "x-forwarded-proto": "https" } },
  "a proxy (Forwarded)": { headers: { forwarded: "for=127.0.0.1" } },
  "a form": { headers: { "content-type": "application/x-www-form-urlencoded" } },
  "a body without JSON type": { headers: { "content-type": "text/plain" } },
};
for (const [who, asked] of Object.entries(REFUSED)) {
  test(`the first key is refused to ${who}`, async () => {
    world = createWorld();
    const error = await refusalOf(create(asked));
    expect(error.code).toBe("BOOTSTRAP_CLOSED");
    expect(error.status).toBe(401);
    expect(error.details?.hint).toContain("keys create");
    expect(world.auth.keys.page(10)).toHaveLength(0);
  });
}

for (const address of ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"]) {
  test(`the first key is given to ${address}`, async () => {
    world = createWorld();
    expect((await create({ peer: address })).status).toBe(201);
  });
}

test("it closes when the window after the start has passed", async () => {
  world = createWorld();
  world.clock.advance(600_001);
  expect(world.auth.isBootstrapOpen()).toBe(false);
  const error = await refusalOf(create());
  expect(error.code).toBe("BOOTSTRAP_CLOSED");
  expect(error.message).toContain("10 minutes");
});

test("trusted proxies or an admin key file close it", async () => {
  world = createWorld({ trustedProxies: ["127.0.0.1"] });
  expect(world.auth.isBootstrapOpen()).toBe(false);
  expect((await refusalOf(create())).code).toBe("BOOTSTRAP_CLOSED");
  world.close();
  world = createWorld({}, { adminKey: { hash: Buffer.alloc(32) } });
  expect((await refusalOf(create())).message).toContain("SWITCHYARD_ADMIN_KEY_FILE");
});

test("a wrong key is refused rather than taken for none", () => {
  world = createWorld();
  const asked = new Request("http://localhost/auth/keys", { headers: { "x-api-key": "wrong" } });
  const policy = { access: "bootstrap" } as const;
  const connection = { peer: "127.0.0.1", keepOpen() {}, upgrade: () => false };
  const error = refusal(() => world.auth.guard.admit(asked, "/auth/keys", policy, connection));
  expect(error.code).toBe("UNAUTHORIZED");
});
