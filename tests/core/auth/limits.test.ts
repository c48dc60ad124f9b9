import { afterEach, expect, test } from "bun:test";
import { authRoutes } from "../../../core/auth/mod.ts";
import { ANY, ask, createWorld, peer, refusal, request, type World } from "./setup.ts";

let world: World;
afterEach(() => world.close());

function admit(key: string) {
  return world.auth.guard.admit(request("/x", { "x-api-key": key }), "/x", ANY, peer());
}

test("a key sees its request rate, is stopped at it, and is let in again by the second", async () => {
  world = createWorld();
  const key = await world.key({ limits: { requestsPerMinute: 3 } });
  expect(admit(key).headers).toEqual({
    "RateLimit-Policy": '"burst";q=3;w=60',
    RateLimit: '"burst";r=2;t=20',
  });
  admit(key);
  expect(admit(key).headers.RateLimit).toBe('"burst";r=0;t=60');
  const error = refusal(() => admit(key));
  expect(error.code).toBe("RATE_LIMITED");
  expect(error.status).toBe(429);
  expect(error.retryAfterMs).toBe(20_000);
  expect(error.headers?.RateLimit).toBe('"burst";r=0;t=60');
  world.clock.advance(19_000);
  expect(refusal(() => admit(key)).retryAfterMs).toBeCloseTo(1_000, 3);
  world.clock.advance(1_000);
  expect(admit(key).principal).toBeDefined();
});

test("keys without limits of their own follow the configuration, and 0 is no limit", async () => {
  world = createWorld({ limits: { requestsPerMinute: 2, activeJobs: 7 } });
  const plain = await world.key();
  expect(admit(plain).principal?.limits).toEqual({ requestsPerMinute: 2, activeJobs: 7 });
  admit(plain);
  expect(refusal(() => admit(plain)).code).toBe("RATE_LIMITED");
  const free = await world.key({ limits: { requestsPerMinute: 0 } });
  for (let round = 0; round < 1_000; round++) expect(admit(free).headers).toEqual({});
});

test("a sub-key spends its parent's rate too", async () => {
  world = createWorld();
  const parent = await world.key({ scopes: ["tts"], limits: { requestsPerMinute: 4 } });
  const routes = authRoutes(world.auth);
  const body = { name: "sub", scopes: ["tts"] };
  const sub = (await ask(world.auth, routes, "POST /auth/keys", { key: parent, body })).data.key;
  for (let round = 0; round < 3; round++) admit(sub);
  expect(refusal(() => admit(parent)).code).toBe("RATE_LIMITED");
  const error = refusal(() => admit(sub));
  expect(error.code).toBe("RATE_LIMITED");
  expect(error.message).toContain(parent.slice(3, 11));
});
