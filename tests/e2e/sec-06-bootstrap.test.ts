/** SEC-06: the first key, and only the first, can be made without one; only from this machine. */
import { afterEach, describe, expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import { type Gateway, type GatewayOptions, RUNTIME, startGateway } from "../gateway.ts";

const open: Gateway[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((gateway) => gateway.remove()));
});

async function start(options: GatewayOptions = {}): Promise<Gateway> {
  const gateway = await startGateway({ key: false, ...options });
  open.push(gateway);
  return gateway;
}

const ask = (
  gateway: Gateway,
  headers: Record<string, string> = {},
  body: unknown = { name: "x" },
) => gateway.call("POST", "/auth/keys", body, { key: null, headers });

/** The first address that other machines would use. */
function networkAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flat();
  return all.find((it) => it && it.family === "IPv4" && !it.internal)?.address;
}

describe(`SEC-06 the first key on ${RUNTIME}`, () => {
  test("100 parallel calls make exactly one key, which is an admin", async () => {
    const gateway = await start();
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask(gateway)));
    const created = answers.filter(({ status }) => status === 201);
    const refused = answers.filter(({ status }) => status === 401);
    expect([created.length, refused.length]).toEqual([1, 99]);
    expect(new Set(refused.map(({ error }) => error.code))).toEqual(new Set(["UNAUTHORIZED"]));
    const { key } = created[0]!.data;
    const list = await gateway.call("GET", "/auth/keys", undefined, { key });
    expect(list.data.items).toHaveLength(1);
    expect(list.data.items[0].scopes).toContain("keys:admin");
  });

  test("pages, proxies and forms are refused, and leave the door open for the operator", async () => {
    const gateway = await start();
    const refused: Record<string, string>[] = [
      { origin: "https://evil.example" },
      { origin: "null" },
      { origin: gateway.url },
      { "x-forwarded-for": "127.0.0.1" },
      { "x-forwarded-host": "localhost" },
      { "x-real-ip": "127.0.0.1" },
      { forwarded: "for=127.0.0.1" },
      { via: "1.1 proxy" },
      { "content-type": "text/plain" },
      { "content-type": "application/x-www-form-urlencoded" },
      { "content-type": "multipart/form-data; boundary=application/json" },
      { "content-type": "application/jsonp" },
    ];
    for (const headers of refused) {
      const answer = await ask(gateway, headers);
      const { status, error } = answer;
      expect([headers, status, error?.code]).toEqual([headers, 401, "BOOTSTRAP_CLOSED"]);
      expect(error.details.hint).toContain("keys create");
    }
    expect((await ask(gateway, { "x-api-key": "sy_wrong" })).status).toBe(401);
    expect((await ask(gateway, {}, { nam: "x" })).status).toBe(422);
    expect((await ask(gateway)).status).toBe(201);
  });

  test("once a key exists, nothing is said about the body of a request without one", async () => {
    const gateway = await start();
    expect((await ask(gateway)).status).toBe(201);
    for (const body of ["{}", "not json", '{"name":"again"}']) {
      const { status, error } = await ask(gateway, {}, body);
      expect([body, status, error.code]).toEqual([body, 401, "UNAUTHORIZED"]);
      expect(error.details.hint).toContain("Keys exist already");
    }
  });

  test("after the window the door is shut", async () => {
    const gateway = await start({ config: "auth: { bootstrap_window_ms: 1 }\n" });
    const { status, error } = await ask(gateway);
    expect([status, error.code]).toEqual([401, "BOOTSTRAP_CLOSED"]);
    expect(error.message).toContain("after the start have passed");
    expect(gateway.output()).not.toContain("curl -X POST");
  });

  test("trusted proxies and a window of 0 shut it from the start", async () => {
    for (const config of [
      "auth: { bootstrap_window_ms: 0 }\n",
      "http: { trusted_proxies: [127.0.0.1] }\n",
    ]) {
      const gateway = await start({ config });
      const { status, error } = await ask(gateway);
      expect([config, status, error.code]).toEqual([config, 401, "BOOTSTRAP_CLOSED"]);
    }
  });

  const address = networkAddress();
  test.skipIf(address === undefined)(
    "another machine's address is refused (needs a network address)",
    async () => {
      const gateway = await start({ env: { SWITCHYARD_HOST: "0.0.0.0" } });
      const { port } = new URL(gateway.url);
      const answer = await fetch(`http://${address}:${port}/auth/keys`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"name":"x"}',
      });
      const { error } = (await answer.json()) as any;
      expect([answer.status, error.code]).toEqual([401, "BOOTSTRAP_CLOSED"]);
      expect(error.message).toContain("only the gateway's own machine");
      const local = await fetch(`http://127.0.0.1:${port}/auth/keys`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"name":"x"}',
      });
      expect(local.status).toBe(201);
    },
  );
});
