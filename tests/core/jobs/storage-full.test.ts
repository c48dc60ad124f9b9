/**
 * What the store does when SQLite itself says that there is no room: `max_page_count` stands for a
 * disk.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { openWorld, type World } from "./world.ts";

describe("a store without room", () => {
  let world: World;
  afterEach(() => world.remove());

  const pages = (count: number) => world.database.sqlite.exec(`PRAGMA max_page_count=${count}`);
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  test("refuses new jobs with STORAGE_FULL, keeps the end of running ones, and recovers", async () => {
    const finish: (() => void)[] = [];
    world = openWorld({
      run: () => new Promise<object>((resolve) => finish.push(() => resolve({}))),
    });
    const id = await world.submit();
    while (finish.length === 0) await turn();
    const { page_count } = world.database.sqlite.prepare("PRAGMA page_count").get() as any;
    pages(page_count);

    const big = { input: { text: "x".repeat(50_000) } };
    const refused = await world.submit(big).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "STORAGE_FULL", retryAfterMs: 5_000 });
    const { pending } = world.jobs.counts();
    expect(pending).toBe(0);
    expect(world.jobs.get(id)?.status).toBe("running");
    expect(world.jobs.list({ limit: 10 })).toHaveLength(1);

    // Its end does not fit yet: it is tried again, not dropped.
    world.run = () => ({});
    finish[0]?.();
    for (let count = 0; count < 20; count++) await turn();
    pages(1_000_000);
    expect((await world.ended(id))?.status).toBe("completed");
    const until = performance.now() + 5_000;
    let again: unknown;
    while (typeof again !== "string" && performance.now() < until) {
      again = await world.submit().catch(() => turn());
    }
    expect((await world.ended(String(again)))?.status).toBe("completed");
    expect(world.terminalEvents(id)).toHaveLength(1);
  }, 15_000);

  test("at the start keeps nobody from reading, and takes up the work when there is room", async () => {
    const first = openWorld({ run: () => new Promise(() => {}) });
    const id = await first.submit();
    while (first.jobs.get(id)?.status !== "running") await turn();
    first.kill();
    world = openWorld({ folder: first.folder });
    const { sqlite } = world.database;
    sqlite.exec(`CREATE TEMP TRIGGER full BEFORE INSERT ON main.job_events
      BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END`);
    await world.jobs.recover();
    expect(world.jobs.get(id)?.status).toBe("running");
    sqlite.exec("DROP TRIGGER full");
    expect((await world.ended(id))?.status).toBe("completed");
  }, 15_000);
});
