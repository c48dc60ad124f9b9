/**
 * REL-04: a full disk refuses new work, breaks no promise, and is forgotten when there is room
 * again.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, type Gateway, startGateway, temporaryFolder } from "../gateway.ts";
import { workConfig } from "./plugins.ts";

function mount(folder: string): boolean {
  const options = ["-t", "tmpfs", "-o", "size=4m", "tmpfs", folder];
  return spawnSync("mount", options).status === 0;
}

function canMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-mount-"));
  const mounted = mount(folder);
  if (mounted) spawnSync("umount", [folder]);
  rmSync(folder, { recursive: true, force: true });
  return mounted;
}

const able = canMount();
const why = able ? "" : " (needs root, to mount a tmpfs)";

describe.skipIf(!able)(`a full disk${why}`, () => {
  const folder = temporaryFolder();
  const disk = join(folder, "disk");
  const filler = join(disk, "filler");
  let gateway: Gateway;

  beforeAll(async () => {
    mkdirSync(disk);
    mount(disk);
    const settings = `storage: { ballast_mib: 1 }
health: { interval_ms: 500 }
auth: { limits: { requests_per_minute: 0, active_jobs: 0 } }`;
    const env = { SWITCHYARD_DATA: join(disk, "data") };
    gateway = await startGateway({ folder, config: workConfig(folder, "", settings), env });
  }, 30_000);
  afterAll(async () => {
    await gateway.stop("SIGKILL");
    spawnSync("umount", ["-l", disk]);
    await gateway.remove();
  });

  const freeBytes = () => {
    const { bavail, bsize } = statfsSync(disk);
    return bavail * bsize;
  };
  /** Takes every free byte but `leave`; the gateway may be quicker with the last ones. */
  const fill = (leave = 0) => {
    try {
      writeFileSync(filler, new Uint8Array(Math.max(0, freeBytes() - leave)));
    } catch (error) {
      expect(error).toMatchObject({ code: "ENOSPC" });
    }
  };
  const submit = (body: object = { ms: 1 }) => gateway.call("POST", "/test/rerun", body);
  const files = () => readdirSync(join(disk, "data", "artifacts", "partial"));

  test("refuses new work with 503 STORAGE_FULL and lets everything else work", async () => {
    const running = (await submit({ ms: 1_500 })).data.job_id;
    const cancelled = (await submit({ ms: 60_000 })).data.job_id;
    const done = (await submit({ ms: 1 })).data.job_id;
    await gateway.ended(done);
    await eventually("two run", async () => {
      return (await gateway.call("GET", "/jobs?status=running")).data.items.length === 2;
    });
    fill();
    const accepted: string[] = [];
    const refused = await eventually("new work is refused", async () => {
      const answer = await submit({ ms: 1 });
      if (answer.status === 202) accepted.push(answer.data.job_id);
      return answer.status !== 202 && answer;
    });
    expect([refused.status, refused.error.code]).toEqual([503, "STORAGE_FULL"]);
    expect(refused.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
    expect(refused.text).not.toContain(disk);

    for (let again = 0; again < 20; again++) expect((await submit()).status).toBe(503);
    for (const path of [`/jobs/${done}`, "/jobs", `/jobs/${done}/events`, "/health", "/backends"]) {
      expect((await gateway.call("GET", path)).status).toBe(200);
    }
    expect((await gateway.call("GET", "/ready")).status).toBe(503);
    const cancel = await gateway.call("DELETE", `/jobs/${cancelled}`);
    expect([cancel.status, cancel.data.status]).toEqual([200, "cancelled"]);
    expect((await gateway.call("DELETE", `/jobs/${done}?purge=true`)).status).toBe(200);
    expect((await gateway.ended(running)).status).toBe("completed");
    for (const id of accepted) expect((await gateway.ended(id)).status).toBe("completed");
  }, 30_000);

  test("accepts work again within 5 seconds after space is freed", async () => {
    rmSync(filler);
    const before = performance.now();
    const job = await eventually("work is accepted", async () => {
      const answer = await submit();
      return answer.status === 202 && answer.data.job_id;
    });
    expect(performance.now() - before).toBeLessThan(5_000);
    expect((await gateway.ended(job)).status).toBe("completed");
    expect((await gateway.call("GET", "/ready")).status).toBe(200);
  }, 30_000);

  test("fails a job whose file does not fit, and leaves no part of that file", async () => {
    const job = (await submit({ ms: 300, bytes: 900_000 })).data.job_id;
    fill(300_000);
    const ended = await gateway.ended(job);
    expect(ended).toMatchObject({ status: "failed", error: { code: "STORAGE_FULL" } });
    expect(ended.error.message).not.toContain(disk);
    expect(files()).toEqual([]);
    rmSync(filler);
    await eventually("work is accepted", async () => (await submit()).status === 202);
  }, 30_000);

  test("survives a kill -9 while it is full, with every accepted job", async () => {
    const job = (await submit({ ms: 500 })).data.job_id;
    fill();
    await eventually("new work is refused", async () => (await submit({ ms: 1 })).status === 503);
    fill();
    await gateway.stop("SIGKILL");
    const { key } = gateway;
    const env = { SWITCHYARD_DATA: join(disk, "data") };
    gateway = await startGateway({ folder, config: workConfig(folder), env, useKey: key });
    expect((await gateway.call("GET", `/jobs/${job}`)).status).toBe(200);
    rmSync(filler);
    expect((await gateway.ended(job)).status).toBe("completed");
  }, 30_000);
});
