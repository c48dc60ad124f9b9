/** Group commit: who fails when a transaction does, and what must not be tried again. */
import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { systemClock } from "../../../core/clock.ts";
import { createGroupCommit, type GroupCommitHooks } from "../../../core/storage/group-commit.ts";
import { openDatabase } from "../../../core/storage/mod.ts";
import { fastFolder } from "../jobs/world.ts";

const SQLITE_FULL = 13;
const SQLITE_IOERR_FSYNC = 1034;

const HOOKS: GroupCommitHooks = {
  admits: () => undefined,
  retry: () => false,
  failure: (error) => (error instanceof Error ? error : new Error(String(error))),
};

function openTable(): DatabaseSync {
  const sqlite = new DatabaseSync(":memory:");
  sqlite.exec("CREATE TABLE things (name TEXT NOT NULL)");
  return sqlite;
}

test("one write of a group that fails takes no other with it, and none is written twice", async () => {
  const sqlite = openTable();
  const { write } = createGroupCommit(sqlite, HOOKS);
  const insert = sqlite.prepare("INSERT INTO things VALUES (?)");
  const outcomes = await Promise.allSettled(
    ["a", null, "b"].map((name) => write(() => insert.run(name))),
  );
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(sqlite.prepare("SELECT name FROM things").all()).toHaveLength(2);
});

test("an fsync that fails ends the process, also when others shared the commit", async () => {
  const folder = fastFolder();
  const prepare = DatabaseSync.prototype.prepare;
  let failures: object[] = [];
  DatabaseSync.prototype.prepare = function (text: string) {
    const statement = prepare.call(this, text);
    if (text === "COMMIT") {
      const run = statement.run.bind(statement);
      statement.run = (() => {
        const failure = failures.shift();
        if (failure) throw Object.assign(new Error("disk I/O error"), failure);
        return run();
      }) as typeof statement.run;
    }
    return statement;
  };
  try {
    const seen: unknown[] = [];
    const onFsyncFailure = (error: unknown) => void seen.push(error);
    const database = openDatabase({ folder, ballastMiB: 1, clock: systemClock, onFsyncFailure });
    const writeTwo = () =>
      Promise.allSettled([database.write(() => 1), database.write(() => 2)] as const);
    failures = [{ errcode: SQLITE_IOERR_FSYNC }];
    await writeTwo();
    expect(seen).toHaveLength(1);
    // The ballast is given up and the commit tried again: this time it is the fsync that fails.
    failures = [{ errcode: SQLITE_FULL }, { errcode: SQLITE_IOERR_FSYNC }];
    await writeTwo();
    expect(seen).toHaveLength(2);
    database.close();
  } finally {
    DatabaseSync.prototype.prepare = prepare;
    rmSync(folder, { recursive: true });
  }
});
