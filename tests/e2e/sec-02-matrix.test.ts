/**
 * SEC-02 and SEC-09: every route admits exactly whom its policy names, and there is no other route.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SCOPES } from "../../core/auth/scopes.ts";
import type { Route } from "../../core/http/mod.ts";
import { type Answer, eventually, type Gateway, RUNTIME, startGateway } from "../gateway.ts";
import { handshake } from "./raw.ts";
import { EVERYTHING, filledPath, NOWHERE, routeTable, UNKNOWN_JOB } from "./table.ts";

type Verdict = "in" | 401 | 403;

const IMPLIES: Record<string, string[]> = {
  "jobs:read": ["jobs:admin"],
  "jobs:cancel": ["jobs:admin"],
  "gpu:read": ["gpu:admin"],
  "gpu:lease": ["gpu:admin"],
};
/** Kept for the end: with the right key they do what they say. */
const ENDING = ["DELETE /artifacts/:id", "DELETE /jobs/:job_id", "DELETE /auth/keys/:id"];

describe(`SEC-02 authorisation on ${RUNTIME}`, () => {
  let gateway: Gateway;
  let routes: readonly Route[];
  let victim: { key: string; id: string; job: string; artifact: string };

  beforeAll(async () => {
    [gateway, routes] = await Promise.all([startGateway({ config: EVERYTHING }), routeTable()]);
    const { key, id } = await newKey({ preset: "client" });
    const dance = { text: "a jig", file: "private words" };
    const accepted = await gateway.call("POST", "/generate/dance", dance, { key });
    const job = await gateway.ended(accepted.data.job_id);
    victim = { key, id, job: job.job_id, artifact: job.output.artifacts[0].id };
  });
  afterAll(() => gateway.remove());

  async function newKey(wishes: object): Promise<{ key: string; id: string }> {
    const { status, data, text } = await gateway.call("POST", "/auth/keys", {
      name: "test",
      ...wishes,
    });
    if (status !== 201) throw new Error(text);
    return data;
  }

  /** With ids that exist nowhere, so that the right key changes nothing. */
  function ask(route: Route, key: string | null): Promise<Answer> {
    const values = { ...NOWHERE, job_id: UNKNOWN_JOB, id: "unknown00", file: "start.js" };
    const body = route.method === "POST" ? {} : undefined;
    return gateway.call(route.method, filledPath(route.path, values), body, { key });
  }

  const verdictOf = ({ status }: Answer): Verdict =>
    status === 401 || status === 403 ? status : "in";

  /** What each route says of this key, beside what its policy says. */
  async function compare(key: string | null, expected: (route: Route) => Verdict) {
    const said: Record<string, Verdict> = {};
    const meant: Record<string, Verdict> = {};
    for (const route of routes) {
      const name = `${route.method} ${route.path}`;
      said[name] = verdictOf(await ask(route, key));
      meant[name] = expected(route);
    }
    expect(said).toEqual(meant);
  }

  const isPublic = ({ policy }: Route): boolean => policy.access === "public";
  const onlyPublic = (route: Route): Verdict => (isPublic(route) ? "in" : 401);
  const withScopes =
    (scopes: readonly string[]) =>
    ({ policy: { access } }: Route): Verdict => {
      if (access === "public" || access === "any" || access === "bootstrap") return "in";
      const enough = [access, ...(IMPLIES[access] ?? [])];
      return enough.some((scope) => scopes.includes(scope)) ? "in" : 403;
    };

  test("without a key only public routes answer", () => compare(null, onlyPublic));

  test("a made-up key opens nothing", async () => {
    await compare("letmein", onlyPublic);
    await compare("sy_AAAAAAAA_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBCCCCCC", onlyPublic);
  });

  test("a revoked key opens nothing", async () => {
    const { key, id } = await newKey({ preset: "admin" });
    expect((await gateway.call("DELETE", `/auth/keys/${id}`)).status).toBe(200);
    await compare(key, onlyPublic);
  });

  test("a replaced secret opens nothing when its grace has ended", async () => {
    const { key, id } = await newKey({ preset: "admin" });
    await gateway.call("POST", `/auth/keys/${id}/rotate`, { grace_ms: 0 });
    await compare(key, onlyPublic);
  });

  test("an expired key opens nothing", async () => {
    const { key } = await newKey({ preset: "admin", expires_in_ms: 1_000 });
    await eventually("the key expires", async () => {
      return (await gateway.call("GET", "/auth/me", undefined, { key })).status === 401;
    });
    await compare(key, onlyPublic);
  });

  test("a key with one scope opens what needs that scope, and no more", async () => {
    for (const scope of SCOPES) {
      const { key, id } = await newKey({ scopes: [scope] });
      await compare(key, withScopes([scope]));
      await gateway.call("DELETE", `/auth/keys/${id}`);
    }
  }, 30_000);

  test("a key with every scope but one is refused where that one is needed", async () => {
    const needed = new Set(routes.map(({ policy }) => policy.access));
    for (const scope of SCOPES.filter((scope) => needed.has(scope))) {
      const without = SCOPES.filter((it) => it !== scope && !IMPLIES[scope]?.includes(it));
      const { key } = await newKey({ scopes: without });
      await compare(key, withScopes(without));
    }
  }, 30_000);

  test("the admin key and a Bearer header open everything", async () => {
    await compare(gateway.key, () => "in");
    for (const route of routes) {
      const values = { ...NOWHERE, job_id: UNKNOWN_JOB, id: "unknown00", file: "start.js" };
      const headers = { authorization: `Bearer ${gateway.key}` };
      const body = route.method === "POST" ? {} : undefined;
      const path = filledPath(route.path, values);
      const answer = await gateway.call(route.method, path, body, { key: null, headers });
      expect([route.path, verdictOf(answer)]).toEqual([route.path, "in"]);
    }
  });

  test("what belongs to another key answers as what never was", async () => {
    const { key } = await newKey({ preset: "client" });
    const compared: string[] = [];
    for (const route of routes.filter(({ path }) => /:(job_id|id)/.test(path))) {
      const isKey = route.path.startsWith("/auth/keys");
      const theirs = { job_id: victim.job, id: isKey ? victim.id : victim.artifact };
      const unknown = { job_id: UNKNOWN_JOB, id: isKey ? "AAAAAAAA" : UNKNOWN_JOB };
      const answers = [];
      for (const values of [theirs, unknown]) {
        const path = filledPath(route.path, values);
        const body = route.method === "POST" ? {} : undefined;
        const answer = await gateway.call(route.method, path, body, { key });
        const named = Object.values(values).reduce(
          (text, id) => text.replaceAll(id, "ID"),
          answer.text,
        );
        const same = named.replace(/"(timestamp|request_id)":"[^"]+"/g, "");
        answers.push({ status: answer.status, same, headers: [...answer.headers.keys()] });
      }
      const [first, second] = answers;
      expect([route.path, first?.status]).toEqual([route.path, 404]);
      expect(first).toEqual(second!);
      compared.push(`${route.method} ${route.path}`);
    }
    expect(compared).toContain("GET /artifacts/:id");
    expect(compared.length).toBeGreaterThan(11);
    const still = await gateway.call("GET", `/artifacts/${victim.artifact}`, undefined, victim);
    expect(still.text).toBe("private words");
  });

  test("another key's job cannot be listed, watched or opened as a socket", async () => {
    const { key } = await newKey({ preset: "client" });
    const list = await gateway.call("GET", "/jobs", undefined, { key });
    expect(list.data).toEqual({ items: [], next_cursor: null, has_more: false });
    expect((await gateway.call("GET", "/jobs?all=true", undefined, { key })).status).toBe(403);
    for (const path of ["/ws/jobs/", "/jobs/ws/jobs/"]) {
      const theirs = await handshake(gateway.url, path + victim.job, { "X-API-Key": key });
      const unknown = await handshake(gateway.url, path + UNKNOWN_JOB, { "X-API-Key": key });
      expect([theirs.status, unknown.status]).toEqual([404, 404]);
      const own = await handshake(gateway.url, path + victim.job, { "X-API-Key": victim.key });
      expect(own.status).toBe(101);
    }
  });

  test("jobs:admin sees everybody's work, and the owner sees its own", async () => {
    const { key } = await newKey({ scopes: ["jobs:admin"] });
    for (const reader of [key, victim.key]) {
      for (const path of [`/jobs/${victim.job}`, `/artifacts/${victim.artifact}`]) {
        expect((await gateway.call("GET", path, undefined, { key: reader })).status).toBe(200);
      }
    }
    const all = await gateway.call("GET", "/jobs?all=true", undefined, { key });
    expect(all.data.items.map((job: any) => job.job_id)).toContain(victim.job);
  });

  test("SEC-09: every route has a policy, and no path answers that is not in the table", async () => {
    const known = ["public", "bootstrap", "any", ...SCOPES];
    for (const { method, path, policy } of routes) {
      expect([method, path, known.includes(policy.access)]).toEqual([method, path, true]);
    }
    const open = routes.filter(isPublic).map(({ method, path }) => `${method} ${path}`);
    expect(open.sort()).toEqual([
      "GET /health",
      "GET /ready",
      "GET /swagger",
      "GET /swagger/assets/:file",
      "GET /swagger/json",
    ]);
    const bootstrap = routes.filter(({ policy }) => policy.access === "bootstrap");
    expect(bootstrap.map(({ method, path }) => `${method} ${path}`)).toEqual(["POST /auth/keys"]);
    const { json: document } = await gateway.call("GET", "/swagger/json");
    const documented = Object.entries<object>(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const inTable = routes.map(
      ({ method, path }) => `${method} ${path.replace(/:(\w+)/g, "{$1}")}`,
    );
    expect(documented.sort()).toEqual(inTable.sort());
  });

  test("the right key does what the deleting routes say", async () => {
    const values = { job_id: victim.job, id: victim.artifact };
    const mounted = routes.map(({ method, path }) => `${method} ${path}`);
    for (const name of ENDING) expect(mounted).toContain(name);
    const { key } = victim;
    const artifact = `/artifacts/${values.id}`;
    expect((await gateway.call("DELETE", artifact, undefined, { key })).data.deleted).toBe(true);
    const purge = `/jobs/${values.job_id}?purge=true`;
    expect((await gateway.call("DELETE", purge, undefined, { key })).status).toBe(200);
    expect(
      (await gateway.call("DELETE", `/auth/keys/${victim.id}`, undefined, { key })).status,
    ).toBe(200);
    expect((await gateway.call("GET", "/auth/me", undefined, { key })).status).toBe(401);
  });
});
