/** Jobs on disk: compare-and-set, fencing, idempotency, times that never go back. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { createIds } from "../../../core/ids.ts";
import type { NewJob } from "../../../core/jobs/row.ts";
import { mayMove, STATUSES, type Status } from "../../../core/jobs/state.ts";
import { createJobStore, type JobStore } from "../../../core/jobs/store.ts";
import { type Database, openDatabase } from "../../../core/storage/mod.ts";
import { fastFolder } from "./world.ts";

describe("the job store", () => {
  const folder = fastFolder();
  const ids = createIds();
  const clock = { now: 1_800_000_000_000, nowMs: () => clock.now, monotonicMs: () => 0 };
  let database: Database;
  let store: JobStore;
  beforeAll(() => {
    const onFsyncFailure = (error: unknown) => {
      throw error;
    };
    database = openDatabase({ folder, ballastMiB: 0, clock, onFsyncFailure });
    store = createJobStore(database, clock);
  });
  afterAll(() => {
    database.close();
    rmSync(folder, { recursive: true });
  });

  const newJob = (more: Partial<NewJob> = {}): NewJob => ({
    id: ids.uuid(),
    keyId: "key",
    capability: "test.work",
    backend: "work",
    priority: 5,
    input: {},
    ...more,
  });
  const insert = async () => {
    const job = newJob();
    await store.insert(job);
    return job.id;
  };
  const on = { backend: "work" };
  const error = { code: "INTERNAL", message: "no" };
  const orderly = { reason: "r", runAfterMs: 0, counted: true, orderly: true, forgetSteps: false };

  test("an old epoch changes nothing: no end, no event, no step, no requeue", async () => {
    const id = await insert();
    await store.claim(id, on);
    await store.requeue(id, 1, orderly);
    await store.claim(id, on);
    const before = store.get(id);
    const results = await Promise.all([
      store.finish(id, { status: "completed", epoch: 1, output: {} }),
      store.finish(id, { status: "failed", epoch: 1, error }),
      store.finish(id, { status: "failed", epoch: undefined, error }),
      store.append(id, 1, { type: "job.progress", data: {} }),
      store.requeue(id, 1, orderly),
    ]);
    expect(results).toEqual([undefined, undefined, undefined, undefined, undefined]);
    expect(await store.saveStep(id, 1, "submit", {})).toBe(false);
    expect(store.isCurrent(id, 1)).toBe(false);
    expect(store.isCurrent(id, 2)).toBe(true);
    expect(store.get(id)).toEqual(before);
    expect(store.events(id, 0, 100)).toHaveLength(before?.seq ?? 0);
    expect(await store.finish(id, { status: "completed", epoch: 2, output: {} })).toBeDefined();
  });

  test("moves a job exactly where the state machine lets it go", async () => {
    const end = async (id: string, epoch: number | undefined, status: Status) =>
      status === "completed"
        ? store.finish(id, { status, epoch: epoch ?? 0, output: {} })
        : store.finish(id, { status: "failed", epoch, error });
    /** Brings a new job into the status, as the runner would; its id and current epoch. */
    const jobIn = async (status: Status) => {
      const id = await insert();
      if (status === "cancelled") await store.cancel(id, "r");
      else if (status !== "pending") await store.claim(id, on);
      if (status === "completed" || status === "failed") await end(id, 1, status);
      expect(store.get(id)?.status).toBe(status);
      const epoch = status === "pending" ? undefined : store.get(id)?.epoch;
      return { id, epoch };
    };
    const moves: Record<Status, (id: string, epoch: number | undefined) => Promise<unknown>> = {
      pending: (id, epoch) => store.requeue(id, epoch ?? 0, orderly),
      running: (id) => store.claim(id, on),
      completed: (id, epoch) => end(id, epoch, "completed"),
      failed: (id, epoch) => end(id, epoch, "failed"),
      cancelled: (id) => store.cancel(id, "r"),
    };
    for (const from of STATUSES) {
      for (const to of STATUSES) {
        const { id, epoch } = await jobIn(from);
        const moved = (await moves[to](id, epoch)) !== undefined;
        expect([from, to, moved]).toEqual([from, to, mayMove(from, to)]);
        expect(store.get(id)?.status).toBe(moved ? to : from);
      }
    }
  });

  test("only one of two claims is granted", async () => {
    const id = await insert();
    const claims = await Promise.all([
      store.claim(id, { ...on, device: "gpu0" }),
      store.claim(id, { ...on, device: "gpu1" }),
    ]);
    expect(claims.filter(Boolean)).toHaveLength(1);
    expect(store.get(id)).toMatchObject({ epoch: 1, attempts: 1, crashes: 1, device: "gpu0" });
  });

  for (const status of ["completed", "failed", "cancelled"] as const) {
    test(`a ${status} job is never anything else, not even by plain SQL`, async () => {
      const id = await insert();
      await store.claim(id, on);
      if (status === "cancelled") await store.cancel(id, "r");
      else await store.finish(id, { status, epoch: 1, output: {}, error } as never);
      expect(await store.cancel(id, "again")).toBeUndefined();
      expect(await store.claim(id, on)).toBeUndefined();
      expect(await store.finish(id, { status: "failed", epoch: 1, error })).toBeUndefined();
      for (const other of ["pending", "running", "completed", "failed", "cancelled"]) {
        if (other === status) continue;
        const change = () =>
          database.sqlite.prepare("UPDATE jobs SET status = ? WHERE id = ?").run(other, id);
        expect(change).toThrow("never changes its status");
      }
      const odd = () =>
        database.sqlite.prepare("UPDATE jobs SET status = 'paused' WHERE id = ?").run(id);
      expect(odd).toThrow();
      expect(store.get(id)?.status).toBe(status);
    });
  }

  test("times and numbers of a job never go back, though the clock does", async () => {
    const id = await insert();
    clock.now -= 86_400_000;
    await store.claim(id, on);
    clock.now += 2 * 86_400_000;
    await store.append(id, 1, { type: "job.progress", data: {} });
    clock.now -= 3 * 86_400_000;
    await store.finish(id, { status: "completed", epoch: 1, output: {} });
    const events = store.events(id, 0, 100);
    expect(events.map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
    const times = events.map(({ atMs }) => atMs);
    expect(times).toEqual([...times].sort());
    const { createdAt, startedAt, finishedAt, updatedAt } = store.get(id) ?? ({} as never);
    expect(startedAt).toBeGreaterThanOrEqual(createdAt);
    expect(finishedAt).toBeGreaterThanOrEqual(startedAt ?? Number.NaN);
    expect(updatedAt).toBe(finishedAt ?? Number.NaN);
  });

  test("the same key and body give the same job; another body does not", async () => {
    const idempotency = { key: "k1", fingerprint: "a" };
    const inserted = await Promise.all(
      Array.from({ length: 20 }, () => store.insert(newJob({ idempotency }))),
    );
    const kinds = inserted.map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === "inserted")).toHaveLength(1);
    expect(kinds.filter((kind) => kind === "replayed")).toHaveLength(19);
    const other = await store.insert(newJob({ idempotency: { ...idempotency, fingerprint: "b" } }));
    expect(other.kind).toBe("mismatch");
    const theirs = await store.insert(newJob({ keyId: "other", idempotency }));
    expect(theirs.kind).toBe("inserted");
  });

  test("after its job was removed, a repeated request makes one new job and not more", async () => {
    const idempotency = { key: "k2", fingerprint: "a" };
    const first = newJob({ idempotency });
    await store.insert(first);
    await store.cancel(first.id, "r");
    await store.remove([first.id]);
    const again = await store.insert(newJob({ idempotency }));
    const third = await store.insert(newJob({ idempotency }));
    expect([again.kind, third.kind]).toEqual(["inserted", "replayed"]);
  });

  test("an attempt that did not count is taken off, and the order of a stop forgives crashes", async () => {
    const id = await insert();
    await store.claim(id, on);
    await store.requeue(id, 1, { ...orderly, counted: false });
    expect(store.get(id)).toMatchObject({ attempts: 0, crashes: 0, epoch: 1 });
    await store.claim(id, on);
    await store.requeue(id, 2, { ...orderly, orderly: false });
    expect(store.get(id)).toMatchObject({ attempts: 1, crashes: 1 });
    await store.claim(id, on);
    expect(store.get(id)?.crashes).toBe(2);
    await store.forgiveRunning();
    expect(store.get(id)?.crashes).toBe(0);
  });

  test("a job with a long log is removed in pieces, between which others write", async () => {
    const id = await insert();
    await store.claim(id, on);
    const entry = { type: "job.delta", data: { text: "x" } } as const;
    await Promise.all(Array.from({ length: 5_000 }, () => store.append(id, 1, entry)));
    await store.cancel(id, "r");
    const order: string[] = [];
    const removed = store.remove([id]).then(() => order.push("removed"));
    await new Promise((resolve) => setImmediate(resolve));
    await insert().then(() => order.push("another was accepted"));
    await removed;
    expect(order).toEqual(["another was accepted", "removed"]);
    expect(store.get(id)).toBeUndefined();
    expect(store.events(id, 0, 10)).toEqual([]);
  });
});
