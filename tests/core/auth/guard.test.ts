import { afterEach, describe, expect, test } from "bun:test";
import { generateKey } from "../../../core/auth/mod.ts";
import type { Policy } from "../../../core/http/mod.ts";
import { ANY, createWorld, peer, refusal, request, type World } from "./setup.ts";

let world: World;
afterEach(() => world.close());

function admit(headers: Record<string, string>, policy: Policy = ANY, address?: string) {
  return world.auth.guard.admit(request("/x", headers), "/x", policy, peer(address));
}

describe("where a key may be", () => {
  test("X-API-Key and Bearer, in any case, are the same way in", async () => {
    world = createWorld();
    const key = await world.key({ name: "app" });
    for (const headers of [
      { "X-API-Key": key },
      { "x-api-key": key },
      { Authorization: `Bearer ${key}` },
      { authorization: `bearer  ${key}` },
    ] as Record<string, string>[]) {
      expect(admit(headers).principal?.name).toBe("app");
    }
    expect(refusal(() => admit({ authorization: `Basic ${key}` })).code).toBe("UNAUTHORIZED");
    expect(refusal(() => admit({ cookie: `key=${key}` })).code).toBe("UNAUTHORIZED");
  });

  test("X-API-Key goes before Bearer, which some clients always fill", async () => {
    world = createWorld();
    const key = await world.key();
    const wrong = generateKey().text;
    expect(admit({ "x-api-key": key, authorization: "Bearer none" }).principal).toBeDefined();
    expect(refusal(() => admit({ "x-api-key": wrong, authorization: `Bearer ${key}` })).code).toBe(
      "UNAUTHORIZED",
    );
  });

  test("a WebSocket may offer it as second subprotocol, and only sy.v1 is selected", async () => {
    world = createWorld();
    const key = await world.key();
    const upgrade = { upgrade: "websocket", host: "gateway.local:1301" };
    const offer = (protocols: string) => ({ ...upgrade, "sec-websocket-protocol": protocols });
    const admitted = admit(offer(`sy.v1, sy.key.${key}`));
    expect(admitted.principal).toBeDefined();
    expect(admitted.protocol).toBe("sy.v1");
    expect(refusal(() => admit(offer(`sy.key.${key}`))).code).toBe("UNAUTHORIZED");
    const plain = { "sec-websocket-protocol": `sy.v1, sy.key.${key}` };
    expect(refusal(() => admit(plain)).code).toBe("UNAUTHORIZED");
    expect(admit({ ...upgrade, "x-api-key": key }).protocol).toBeUndefined();
  });

  test("never the query string", async () => {
    world = createWorld();
    const key = await world.key();
    for (const name of ["key", "api_key", "token", "ticket", "access_token"]) {
      const asked = request(`/x?${name}=${key}`);
      const policy: Policy = { access: "any", ticket: true };
      const error = refusal(() => world.auth.guard.admit(asked, "/x", policy, peer()));
      expect(error.code).toBe("UNAUTHORIZED");
    }
  });
});

describe("refusals", () => {
  test("have one shape, whatever was wrong", async () => {
    world = createWorld({ failuresPerMinute: 0 });
    const key = await world.key();
    const expired = await world.key({ expiresAtMs: world.clock.nowMs() + 1_000 });
    world.clock.advance(1_000);
    const wrong = [
      {},
      { "x-api-key": "nonsense" },
      { "x-api-key": generateKey().text },
      { "x-api-key": expired },
      { "x-api-key": `${key.slice(0, -1)}!` },
    ] as Record<string, string>[];
    for (const headers of wrong) {
      const error = refusal(() => admit(headers));
      expect(error.code).toBe("UNAUTHORIZED");
      expect(error.message).toBe("No valid API key");
      expect(Object.keys(error.details ?? {})).toEqual(["hint"]);
      expect(error.headers).toEqual({ "WWW-Authenticate": 'Bearer realm="switchyard"' });
      expect(JSON.stringify(error.details)).not.toContain("sy_");
    }
    expect(refusal(() => admit({ "x-api-key": expired })).details?.hint).toContain("expired");
  });

  test("name the scope that is missing, and implied scopes are there", async () => {
    world = createWorld();
    const key = { "x-api-key": await world.key({ scopes: ["tts", "jobs:admin"] }) };
    expect(admit(key, { access: "tts" }).principal).toBeDefined();
    expect(admit(key, { access: "jobs:read" }).principal).toBeDefined();
    expect(admit(key, { access: "jobs:cancel" }).principal).toBeDefined();
    const error = refusal(() => admit(key, { access: "llm" }));
    expect(error.code).toBe("FORBIDDEN_SCOPE");
    expect(error.message).toContain('"llm"');
    expect(error.details).toEqual({ scope: "llm" });
  });

  test("turn into 429 after ten wrong keys a minute, for that address only", async () => {
    world = createWorld();
    const key = await world.key();
    const guess = (address: string) =>
      refusal(() => admit({ "x-api-key": generateKey().text }, ANY, address));
    for (let round = 0; round < 10; round++) expect(guess("10.0.0.1").code).toBe("UNAUTHORIZED");
    const limited = guess("10.0.0.1");
    expect(limited.code).toBe("RATE_LIMITED");
    expect(limited.retryAfterMs).toBe(60_000);
    expect(guess("10.0.0.2").code).toBe("UNAUTHORIZED");
    // Neither a good key nor a request without one is locked out by a neighbour's guesses.
    expect(admit({ "x-api-key": key }, ANY, "10.0.0.1").principal).toBeDefined();
    expect(refusal(() => admit({}, ANY, "10.0.0.1")).code).toBe("UNAUTHORIZED");
    world.clock.advance(60_000);
    expect(guess("10.0.0.1").code).toBe("UNAUTHORIZED");
  });

  test("do not count for a key that was right once", async () => {
    world = createWorld();
    const key = await world.key({ expiresAtMs: world.clock.nowMs() + 1_000 });
    world.clock.advance(1_000);
    for (let round = 0; round < 30; round++) {
      expect(refusal(() => admit({ "x-api-key": key })).code).toBe("UNAUTHORIZED");
    }
  });
});

describe("a public route", () => {
  const open: Policy = { access: "public" };

  test("needs no key, uses a good one and ignores a wrong one", async () => {
    world = createWorld();
    const key = await world.key({ name: "monitor" });
    expect(admit({}, open).principal).toBeUndefined();
    expect(admit({ "x-api-key": key }, open).principal?.name).toBe("monitor");
    expect(admit({ "x-api-key": generateKey().text }, open).principal).toBeUndefined();
  });

  test("counts guesses like any other", () => {
    world = createWorld({ failuresPerMinute: 3 });
    for (let round = 0; round < 3; round++) admit({ "x-api-key": "guess" }, open);
    expect(refusal(() => admit({ "x-api-key": "guess" })).code).toBe("RATE_LIMITED");
  });
});

describe("the Origin of a WebSocket", () => {
  const upgrade = (origin?: string): Record<string, string> => ({
    upgrade: "WebSocket",
    host: "gateway.local:1301",
    ...(origin && { origin }),
  });

  test("is absent, the gateway's own or a listed one", async () => {
    world = createWorld({ allowedOrigins: ["https://app.example.com"] });
    const key = { "x-api-key": await world.key() };
    for (const origin of [undefined, "http://gateway.local:1301", "https://app.example.com"]) {
      expect(admit({ ...upgrade(origin), ...key }).principal).toBeDefined();
    }
    for (const origin of [
      "null",
      "http://gateway.local",
      "http://evil.example",
      "https://app.example.com.evil.example",
      "http://gateway.local:1301.evil.example",
    ]) {
      const error = refusal(() => admit({ ...upgrade(origin), ...key }));
      expect(error.code).toBe("ORIGIN_NOT_ALLOWED");
      expect(error.status).toBe(403);
    }
  });
});
