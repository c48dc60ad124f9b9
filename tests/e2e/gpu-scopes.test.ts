/** Which keys may ask the GPUs, which may take a part of them, and which may give them orders. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Gateway, RUNTIME, startGateway } from "../gateway.ts";
import { createYard, runJob, type Yard } from "../reliability/vram-yard.ts";

const LIMIT_MS = 30_000;

describe(`scopes of the GPUs on ${RUNTIME}`, () => {
  let yard: Yard;
  let gateway: Gateway;
  beforeAll(async () => {
    yard = await createYard();
    await yard.add("painter", { models: { canvas: { mib: 12_288 } } });
    await yard.add("writer", { models: { prose: { mib: 8_192 } } });
    gateway = await startGateway({ folder: yard.folder, config: yard.config() });
    await runJob(gateway, "painter");
  });
  afterAll(async () => {
    await gateway?.remove();
    await yard.close();
  });
  const post = (path: string, body?: unknown) => gateway.call("POST", path, body);

  const asKey = async (scopes: object) => {
    const { data } = await post("/auth/keys", { name: "one of them", ...scopes });
    return (method: string, path: string, body?: unknown) =>
      gateway.call(method, path, body, { key: data.key });
  };
  const lease = { name: "game", mib: 1_024, ttl_s: 5 };
  const calls: [method: string, path: string, body: unknown, scope: string][] = [
    ["GET", "/vram", undefined, "gpu:read"],
    ["GET", "/vram/costs", undefined, "gpu:read"],
    ["GET", "/backends/painter/residents", undefined, "gpu:read"],
    ["GET", "/leases", undefined, "gpu:lease"],
    ["POST", "/leases", lease, "gpu:lease"],
    ["POST", "/vram/free", { all: true }, "gpu:admin"],
    ["DELETE", "/backends/painter/residents/none", undefined, "gpu:admin"],
    ["POST", "/backends/writer/start", undefined, "gpu:admin"],
    ["POST", "/backends/writer/restart", undefined, "gpu:admin"],
    ["POST", "/backends/writer/stop", undefined, "gpu:admin"],
  ];
  const holders = {
    "a client": [{ preset: "client" }, []],
    "a reader": [{ preset: "readonly" }, ["gpu:read"]],
    "a game": [{ scopes: ["gpu:lease"] }, ["gpu:lease"]],
    "an operator": [{ preset: "operator" }, ["gpu:read", "gpu:lease", "gpu:admin"]],
  } as const;
  for (const [who, [made, may]] of Object.entries(holders)) {
    test(
      `${who} may do ${may.join(", ") || "none of it"}`,
      async () => {
        const call = await asKey(made);
        for (const [method, path, body, scope] of calls) {
          const answer = await call(method, path, body);
          const allowed = (may as readonly string[]).includes(scope);
          expect([method, path, answer.status === 403]).toEqual([method, path, !allowed]);
          if (!allowed) expect(answer.error.code).toBe("FORBIDDEN_SCOPE");
          if (answer.data?.lease_id) await call("DELETE", `/leases/${answer.data.lease_id}`);
        }
      },
      LIMIT_MS,
    );
  }
});
