import { afterEach, beforeEach, expect, test } from "bun:test";
import { authRoutes } from "../../../core/auth/mod.ts";
import type { Policy } from "../../../core/http/mod.ts";
import { ask, createWorld, peer, refusal, refusalOf, request, type World } from "./setup.ts";

const JOB = "0199f3a2-7c1e-7d4b-9a53-2f6c1b8e4d10";
const OPEN: Policy = { access: "jobs:read", ticket: true };
let world: World;
let key: string;
beforeEach(async () => {
  world = createWorld({ failuresPerMinute: 0, limits: { requestsPerMinute: 0, activeJobs: 0 } });
  key = await world.key({ scopes: ["jobs:read"] });
});
afterEach(() => world.close());

async function ticket(
  body: Record<string, string> = { job_id: JOB },
  headers: Record<string, string> = {},
): Promise<string> {
  const asked = { key, body, headers };
  const routes = authRoutes(world.auth);
  const { status, data } = await ask(world.auth, routes, "POST /auth/ws-ticket", asked);
  expect(status).toBe(201);
  expect(data.expires_at).toBe(new Date(world.clock.nowMs() + 30_000).toISOString());
  return data.ticket;
}

function use(text: string, path: string, headers: Record<string, string> = {}, policy = OPEN) {
  return world.auth.guard.admit(request(`${path}?ticket=${text}`, headers), path, policy, peer());
}

test("a ticket opens the job's socket, its alias or its events, once", async () => {
  for (const path of [`/ws/jobs/${JOB}`, `/jobs/ws/jobs/${JOB}`, `/jobs/${JOB}/events`]) {
    const text = await ticket();
    expect(use(text, path).principal?.keyId).toBe(key.slice(3, 11));
    expect(refusal(() => use(text, path)).code).toBe("UNAUTHORIZED");
  }
});

test("a ticket for a path opens that path", async () => {
  const path = "/artifacts/0199f3a2-7c1e-7d4b-9a53-2f6c1b8e4d11";
  expect(use(await ticket({ path }), path).principal).toBeDefined();
  const text = await ticket({ path });
  expect(refusal(() => use(text, `${path}0`)).code).toBe("UNAUTHORIZED");
  // Shown in the wrong place it is spent: somebody else may have it.
  expect(refusal(() => use(text, path)).code).toBe("UNAUTHORIZED");
});

test("a ticket is refused for another job, after 30 s, and where no ticket is taken", async () => {
  const other = await ticket();
  expect(refusal(() => use(other, `/ws/jobs/${JOB.replace("0", "1")}`)).code).toBe("UNAUTHORIZED");
  const late = await ticket();
  world.clock.advance(30_000);
  expect(refusal(() => use(late, `/ws/jobs/${JOB}`)).code).toBe("UNAUTHORIZED");
  const misplaced = await ticket({ path: "/jobs" });
  const policy: Policy = { access: "jobs:read" };
  expect(refusal(() => use(misplaced, "/jobs", {}, policy)).code).toBe("UNAUTHORIZED");
});

test("a ticket that one page got is no use to another", async () => {
  const path = `/ws/jobs/${JOB}`;
  const page = { origin: "http://gateway.local:1301" };
  const elsewhere = { origin: "http://evil.example" };
  const stolen = await ticket({ job_id: JOB }, page);
  expect(refusal(() => use(stolen, path, elsewhere)).code).toBe("UNAUTHORIZED");
  expect(use(await ticket({ job_id: JOB }, page), path, page).principal).toBeDefined();
  // An EventSource or a download of the same page carries no Origin.
  expect(use(await ticket({ job_id: JOB }, page), path).principal).toBeDefined();
});

test("a ticket gives no more than its key, and dies with it", async () => {
  const path = `/ws/jobs/${JOB}`;
  const policy: Policy = { access: "gpu:read", ticket: true };
  const text = await ticket();
  expect(refusal(() => use(text, path, {}, policy)).code).toBe("FORBIDDEN_SCOPE");
  const orphan = await ticket();
  const routes = authRoutes(world.auth);
  const revoked = { key, params: { id: key.slice(3, 11) } };
  await ask(world.auth, routes, "DELETE /auth/keys/:id", revoked);
  expect(refusal(() => use(orphan, path)).code).toBe("UNAUTHORIZED");
});

test("a key may hold 100 tickets, and others are not kept from theirs", async () => {
  for (let round = 0; round < 100; round++) await ticket();
  const error = await refusalOf(ticket());
  expect(error.code).toBe("RATE_LIMITED");
  expect(error.retryAfterMs).toBe(30_000);
  const first = key;
  key = await world.key();
  await ticket();
  key = first;
  world.clock.advance(30_000);
  await ticket();
});

test("a request names one job or one path", async () => {
  const routes = authRoutes(world.auth);
  for (const body of [{}, { job_id: JOB, path: "/x" }]) {
    const asked = { key, body };
    const error = await refusalOf(ask(world.auth, routes, "POST /auth/ws-ticket", asked));
    expect(error.code).toBe("VALIDATION_FAILED");
  }
});
