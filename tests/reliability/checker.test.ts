/** The checker itself: each kind of broken promise is found. */
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { check, type Report } from "../checker.ts";
import { temporaryFolder } from "../gateway.ts";
import type { Entry } from "../history.ts";

const MIGRATION = resolve(import.meta.dir, "../../core/storage/migrations/0001_init.sql");

describe("the checker", () => {
  const folder = temporaryFolder();
  afterAll(() => rmSync(folder, { recursive: true }));
  let count = 0;

  const entry = (kind: Entry["kind"], more: Partial<Entry> = {}): Entry => ({
    kind,
    operation: "submit",
    id: "t1",
    atMs: 0,
    ...more,
  });
  const good = [entry("invoke"), entry("ok", { job: "j1" })];
  const wellEnded = ["job.created", "job.started", "job.completed"];

  /** One job `j1` with tag `t1`, as the arguments have it. */
  function reportOf(
    history: readonly Entry[],
    job: { status?: string; epoch?: number; output?: string; tag?: string } | undefined,
    types: readonly string[] = wellEnded,
    seqs: readonly number[] = types.map((_, index) => index + 1),
  ): Report {
    const path = join(folder, `${count++}.db`);
    const database = new Database(path);
    database.exec(readFileSync(MIGRATION, "utf8"));
    if (job) {
      const { status = "completed", epoch = 1, output = '{"attempt":1}', tag = "t1" } = job;
      database
        .query(
          `INSERT INTO jobs (id, key_id, capability, backend, status, priority, epoch, seq, input,
             output, tag, created_at, updated_at)
           VALUES ('j1', 'k', 'c', 'b', ?, 5, ?, ?, '{}', ?, ?, 0, 0)`,
        )
        .run(status, epoch, seqs.at(-1) ?? 0, output, tag);
      const insert = database.query(
        "INSERT INTO job_events (job_id, seq, type, data, created_at) VALUES ('j1', ?, ?, '{}', 0)",
      );
      for (const [index, type] of types.entries()) {
        if (type !== "job.created") insert.run(seqs[index]!, type);
      }
    }
    database.close();
    return check(history, path);
  }

  const cases: readonly [keyof Report, Report][] = [
    ["lost", reportOf(good, undefined)],
    ["lost", reportOf(good, { status: "running" }, ["job.created", "job.started"])],
    ["duplicatedTerminal", reportOf(good, {}, [...wellEnded, "job.failed"])],
    ["duplicatedTerminal", reportOf(good, {}, ["job.created"])],
    ["duplicatedTerminal", reportOf(good, {}, ["job.created", "job.cancelled"])],
    ["unexpected", reportOf(good, { tag: "other" })],
    ["unexpected", reportOf([entry("invoke"), entry("fail")], {})],
    ["recovered", reportOf([entry("invoke"), entry("info")], {})],
    ["staleAccepted", reportOf(good, { epoch: 2 })],
    ["eventGap", reportOf(good, {}, wellEnded, [1, 2, 4])],
    ["authLeak", reportOf([...good, entry("ok", { operation: "steal", id: "x" })], {})],
  ];
  for (const [name, report] of cases) {
    test(`finds ${name}`, () => {
      expect(report[name]).toHaveLength(1);
    });
  }

  test("finds nothing in a good history", () => {
    for (const [name, found] of Object.entries(reportOf(good, {}))) {
      expect([name, found]).toEqual([name, []]);
    }
  });
});
