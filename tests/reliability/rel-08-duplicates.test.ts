/**
 * REL-08: a request that is sent again makes no second job, and a second gateway does not start.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { type Gateway, gatewayCommand, startGateway, temporaryFolder } from "../gateway.ts";
import { workConfig } from "./plugins.ts";

const CLIENTS = 50;
const KEYS = 20;

describe("REL-08, duplicates", () => {
  let gateway: Gateway;
  const folder = temporaryFolder();
  const config = workConfig(folder);
  const bodyOf = (key: number) => ({ ms: 1, tag: `key-${key}` });
  const send = (key: number, body: object = bodyOf(key)) =>
    gateway.call("POST", "/test/rerun", body, { headers: { "idempotency-key": `key ${key}` } });
  const jobs = new Map<number, string>();

  beforeAll(async () => {
    gateway = await startGateway({ folder, config });
  });
  afterAll(() => gateway.remove());

  test(`${CLIENTS} clients with ${KEYS} keys at once make ${KEYS} jobs`, async () => {
    const sent = Array.from({ length: CLIENTS * KEYS }, (_, index) => index % KEYS);
    const answers = await Promise.all(sent.map((key) => send(key)));
    for (const [index, { status, data, headers }] of answers.entries()) {
      expect([200, 202]).toContain(status);
      const key = sent[index]!;
      if (!headers.has("idempotent-replayed")) {
        expect(jobs.has(key)).toBe(false);
        jobs.set(key, data.job_id);
      }
    }
    expect(jobs.size).toBe(KEYS);
    for (const [index, { data }] of answers.entries()) {
      expect(data.job_id).toBe(jobs.get(sent[index]!));
    }
    const list = await gateway.call("GET", "/jobs?limit=100");
    expect(list.data.items).toHaveLength(KEYS);
  }, 30_000);

  test("another body under the same key is 422, and makes nothing", async () => {
    const answer = await send(0, { ms: 2 });
    expect([answer.status, answer.error.code]).toEqual([422, "IDEMPOTENCY_MISMATCH"]);
  });

  test("after a kill -9 and a restart the same request gives the same job", async () => {
    const { key } = gateway;
    await gateway.stop("SIGKILL");
    gateway = await startGateway({ folder, config, useKey: key });
    for (const [index, id] of jobs) {
      const answer = await send(index);
      expect(answer.data.job_id).toBe(id);
      expect(answer.headers.get("idempotent-replayed")).toBe("true");
    }
    const other = await send(1, { ms: 3 });
    expect(other.status).toBe(422);
    expect((await gateway.call("GET", "/jobs?limit=100")).data.items).toHaveLength(KEYS);
  });

  test("a second gateway on the same folder says so and exits with 78", async () => {
    const [command = "", ...args] = gatewayCommand();
    const env = {
      ...process.env,
      SWITCHYARD_CONFIG: join(folder, "gateway.yaml"),
      SWITCHYARD_DATA: join(folder, "data"),
      SWITCHYARD_PORT: "0",
    };
    const second = spawnSync(command, args, { env, timeout: 20_000, encoding: "utf8" });
    expect(second.status).toBe(78);
    expect(second.stderr).toContain("Another gateway is running on");
    expect(second.stderr).not.toContain("    at ");
    expect((await gateway.call("GET", "/jobs?limit=1")).status).toBe(200);
  }, 30_000);
});
