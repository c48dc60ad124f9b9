/**
 * REL-16: the wall clock jumps while jobs wait and run; only the times that people read may notice.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, type Gateway, startGateway, temporaryFolder } from "../gateway.ts";
import { workConfig } from "./plugins.ts";

const LIBRARY = [
  "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
  "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
].find(existsSync);
const why = LIBRARY ? "" : " (needs the package faketime)";

describe("REL-16, clock", () => {
  const folder = temporaryFolder();
  const offset = join(folder, "offset");
  const config = workConfig(
    folder,
    "",
    "jobs: { queue_timeout_ms: 60000, attempt_timeout_ms: 30000, stall_timeout_ms: 20000 }",
  );
  const jump = (to: string) => writeFileSync(offset, to);
  const env = {
    LD_PRELOAD: LIBRARY ?? "",
    FAKETIME_TIMESTAMP_FILE: offset,
    FAKETIME_NO_CACHE: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
  };
  let gateway: Gateway;
  beforeAll(async () => {
    if (!LIBRARY) return;
    jump("+0");
    gateway = await startGateway({ folder, config, env });
  }, 30_000);
  afterAll(() => gateway?.remove());

  const nowOf = async () => {
    const { json } = await gateway.call("GET", "/jobs?limit=1");
    return Date.parse(json.timestamp);
  };

  async function expectOrderly(id: string): Promise<void> {
    const { text } = await gateway.call("GET", `/jobs/${id}/events`);
    const events = [...text.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!));
    expect(events.filter(({ type }) => type === "job.started")).toHaveLength(1);
    const times = events.map(({ timestamp }) => timestamp);
    expect(times).toEqual([...times].sort());
    const { data } = await gateway.call("GET", `/jobs/${id}`);
    expect(data.started_at >= data.created_at).toBe(true);
    expect(data.finished_at >= data.started_at).toBe(true);
    expect(data.metrics.queue_ms).toBeGreaterThanOrEqual(0);
    expect(data.metrics.run_ms).toBeGreaterThanOrEqual(0);
  }

  for (const [to, hours] of [
    ["+1h", 1],
    ["-1h", -1],
    ["+1d", 24],
    ["-1d", -24],
  ] as const) {
    test.skipIf(!LIBRARY)(
      `a jump by ${to}: nothing expires early, runs twice or gets stuck${why}`,
      async () => {
        jump("+0");
        // Two of the four heavy jobs at a time wait for the GPU while one runs.
        const submit = async (body: object) =>
          (await gateway.call("POST", "/test/rerun", body)).data.job_id;
        const ids = [
          await submit({ ms: 600, heavy: true, ticks: 3 }),
          await submit({ ms: 600, heavy: true }),
          await submit({ ms: 200, heavy: true, start_by: new Date(Date.now() + 30_000) }),
          await submit({ ms: 500, timeout_ms: 10_000 }),
        ];
        await eventually("the first runs", async () => {
          return (await gateway.call("GET", `/jobs/${ids[0]}`)).data.status === "running";
        });
        jump(to);
        await eventually("the gateway's clock has jumped", async () => {
          return Math.abs((await nowOf()) - Date.now() - hours * 3_600_000) < 60_000;
        });
        ids.push(await submit({ ms: 5 }));
        for (const id of ids) {
          expect((await gateway.ended(id, 10_000)).status).toBe("completed");
          await expectOrderly(id);
        }
        const journal = readFileSync(join(folder, "journal"), "utf8");
        for (const id of ids) expect(journal.split(`run ${id}`)).toHaveLength(2);
        // The GPU was never given to two at once: each heavy job is done before the next one runs.
        const heavy = ids.slice(0, 3);
        const lines = journal.split("\n").filter((line) => heavy.some((id) => line.includes(id)));
        expect(lines.map((line) => line.split(" ")[0])).toEqual(
          heavy.flatMap(() => ["run", "done"]),
        );
      },
      30_000,
    );
  }

  test.skipIf(!LIBRARY)(
    `a restart with the clock a day back takes up what ran and what waited${why}`,
    async () => {
      jump("+0");
      const submit = async () => (await gateway.call("POST", "/test/rerun", heavy)).data.job_id;
      const heavy = { ms: 300, heavy: true };
      const ids = [await submit(), await submit()];
      await eventually("the first runs", async () => {
        return (await gateway.call("GET", `/jobs/${ids[0]}`)).data.status === "running";
      });
      await gateway.stop("SIGKILL");
      jump("-1d");
      gateway = await startGateway({ folder, config, env, useKey: gateway.key });
      for (const id of ids) expect((await gateway.ended(id, 10_000)).status).toBe("completed");
      const { data } = await gateway.call("GET", `/jobs/${ids[0]}`);
      expect(data.finished_at >= data.started_at).toBe(true);
    },
    30_000,
  );
});
