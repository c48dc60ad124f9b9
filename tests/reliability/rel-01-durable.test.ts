/** REL-01: a 202 leaves the machine only after the job's row has been fsynced. */
import { afterAll, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { eventually, startGateway, temporaryFolder } from "../gateway.ts";
import { workConfig } from "./plugins.ts";
import { canTrace, durabilityIn, traceProcess } from "./trace.ts";

const POSTS = 200;
const why = canTrace ? "" : " (needs strace, and the right to trace)";

describe("REL-01, durable before 202", () => {
  const folder = temporaryFolder();
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test.skipIf(!canTrace)(
    `${POSTS} of ${POSTS} answers lie behind an fsync of their row${why}`,
    async () => {
      const gateway = await startGateway({ folder, config: workConfig(folder) });
      try {
        const file = join(folder, "trace");
        const detach = await traceProcess(gateway.child.pid!, file);
        const ids = new Set<string>();
        for (let sent = 0; sent < POSTS; sent += 4) {
          // Some alone and some together, as group commits take them.
          const wave = sent % 8 === 0 ? [0, 1, 2, 3] : [0, 1];
          const posts = wave.map(() => gateway.call("POST", "/test/rerun", { ms: 1 }));
          if (wave.length === 2) posts.push(...(await sendApart(gateway)));
          for (const { status, data } of await Promise.all(posts)) {
            expect(status).toBe(202);
            ids.add(data.job_id);
          }
        }
        await detach();
        expect(ids.size).toBe(POSTS);
        const { accepted, durable } = durabilityIn(file);
        expect(new Set(accepted)).toEqual(ids);
        expect(durable).toHaveLength(POSTS);
      } finally {
        await gateway.remove();
      }
    },
    60_000,
  );

  test.skipIf(!canTrace)(
    `the check sees a server that answers without fsync${why}`,
    async () => {
      const script = join(import.meta.dir, "undurable-server.ts");
      const child = spawn(process.execPath, [script, join(folder, "undurable")]);
      let said = "";
      child.stdout.on("data", (chunk) => {
        said += chunk;
      });
      try {
        const url = await eventually("it listens", () => /listening (\S+)/.exec(said)?.[1]);
        const file = join(folder, "undurable-trace");
        const detach = await traceProcess(child.pid!, file);
        for (let sent = 0; sent < 20; sent++) await (await fetch(url)).text();
        await detach();
        const { accepted, durable } = durabilityIn(file);
        expect(accepted).toHaveLength(20);
        expect(durable).toHaveLength(0);
      } finally {
        child.kill("SIGKILL");
      }
    },
    30_000,
  );
});

async function sendApart(gateway: Awaited<ReturnType<typeof startGateway>>) {
  const first = await gateway.call("POST", "/test/rerun", { ms: 1 });
  return [Promise.resolve(first), gateway.call("POST", "/test/rerun", { ms: 1 })];
}
