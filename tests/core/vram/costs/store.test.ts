/** What was learned outlives the process, and a broken store harms nobody. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { getTableConfig } from "drizzle-orm/sqlite-core";
import { systemClock } from "../../../../core/clock.ts";
import { createLog } from "../../../../core/log.ts";
import { type Database, openDatabase, tables } from "../../../../core/storage/mod.ts";
import { createCostStore } from "../../../../core/vram/store.ts";
import { eventually, temporaryFolder } from "../../../gateway.ts";
import {
  clock,
  key,
  load,
  memoryStore,
  observeAll,
  openBook,
  PRIOR,
  repeat,
  resident,
  run,
  working,
} from "./book.ts";

const MIGRATIONS = resolve(import.meta.dir, "../../../../core/storage/migrations");

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0).reverse()) end();
});

function newFolder(): string {
  const folder = temporaryFolder();
  ends.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function open(folder: string): Database {
  const onFsyncFailure = (error: unknown) => {
    throw error;
  };
  return openDatabase({ folder, ballastMiB: 0, clock: systemClock, onFsyncFailure });
}

function openLog() {
  const lines: string[] = [];
  return { lines, log: createLog({ level: "warn", write: (line) => lines.push(line) }) };
}

describe("the table of costs", () => {
  test("has in the migration the columns of the schema", () => {
    const database = open(newFolder());
    ends.push(() => database.close());
    const made = database.sqlite.prepare("PRAGMA table_info(costs)").all();
    const { columns } = getTableConfig(tables.costs);
    expect(made.map(({ name, type, notnull }) => `${name} ${type} ${notnull}`)).toEqual(
      columns.map(
        (column) => `${column.name} ${column.getSQLType().toUpperCase()} ${Number(column.notNull)}`,
      ),
    );
  });

  test("comes to a database of the version before, which keeps what it has", () => {
    const folder = newFolder();
    mkdirSync(folder, { recursive: true });
    const old = new DatabaseSync(join(folder, "switchyard.db"));
    old.exec(readFileSync(join(MIGRATIONS, "0001_init.sql"), "utf8"));
    old.exec("INSERT INTO idempotency VALUES ('key', 'once', 'f', 'job', 1)");
    old.exec("PRAGMA user_version=1");
    old.close();
    const database = open(folder);
    ends.push(() => database.close());
    expect(createCostStore(database).load()).toEqual([]);
    expect(database.sqlite.prepare("SELECT * FROM idempotency").all()).toHaveLength(1);
  });
});

describe("a cost book on disk", () => {
  const everything = [
    ...repeat(40, resident(5_432)),
    ...repeat(9, working(1_234)),
    ...[1_500.25, 2_000.5, 1_700, 1_900, 900_000].map((ms) => run(ms)),
    load(7_777.7),
    { kind: "out_of_memory", key: key(), claimedMiB: 9_000, observedPeakMiB: 8_001 } as const,
    run(10, key(3, "model with 'quotes', a\nnewline and ünïcode")),
  ];

  test("answers the same after a restart", async () => {
    const folder = newFolder();
    const first = open(folder);
    const book = openBook({ store: createCostStore(first) });
    observeAll(book, everything);
    await book.close();
    first.close();
    const second = open(folder);
    ends.push(() => second.close());
    const again = openBook({ store: createCostStore(second) });
    expect(again.estimate(key(), PRIOR)).toEqual(book.estimate(key(), PRIOR));
    expect(again.list()).toEqual(book.list());
  });

  test("is written within seconds although nobody asks for it", async () => {
    const database = open(newFolder());
    ends.push(() => database.close());
    const store = createCostStore(database);
    observeAll(openBook({ store }), everything);
    const rows = await eventually("the costs are stored", () => {
      const found = store.load();
      return found.length > 0 && found;
    });
    expect(rows).toHaveLength(4);
  });

  test("what was forgotten does not come back", async () => {
    const database = open(newFolder());
    ends.push(() => database.close());
    const store = createCostStore(database);
    const book = openBook({ store });
    observeAll(book, everything);
    await book.flush();
    book.forget({ model: "flux" });
    await book.flush();
    expect(openBook({ store }).list()).toHaveLength(1);
    book.forget();
    await book.close();
    expect(store.load()).toEqual([]);
  });

  test("ignores rows that it cannot read, says so once, and learns their keys anew", async () => {
    const database = open(newFolder());
    ends.push(() => database.close());
    const store = createCostStore(database);
    const book = openBook({ store });
    for (let model = 0; model < 9; model++) book.observe(run(1_000, key(model, `m${model}`)));
    await book.close();
    const good = store.load().find(({ bucket }) => bucket === 0)?.evidence ?? "";
    const spoil = (set: string, bucket: number) =>
      database.sqlite.prepare(`UPDATE costs SET ${set} WHERE bucket = ?`).run(bucket);
    spoil("evidence = '{'", 1);
    spoil("evidence = ''", 2);
    spoil('evidence = \'{"memory":{},"time":{}}\'', 3);
    spoil(`evidence = '${good.replace('"meanMs":1000', '"meanMs":-5')}'`, 4);
    spoil(`evidence = '${good.replace("[1000]", "[1e999]")}'`, 5);
    spoil(`evidence = '${good.replace("[1000]", `[${Array(500).fill(1)}]`)}'`, 6);
    spoil("bucket = 64", 7);
    spoil("evidence = 'null'", 8);
    const { lines, log } = openLog();
    const again = openBook({ store, log });
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: "warn", rows: 8 });
    const known = again.list().filter(({ samples }) => samples.run > 0);
    expect(known.map(({ model }) => model)).toEqual(["m0"]);
    again.observe(run(500, key(1, "m1")));
    await again.close();
    const mended = openBook({ store })
      .list()
      .find(({ model, bucket }) => model === "m1" && bucket === 1);
    expect(mended).toMatchObject({ runMs: 500, samples: { run: 1 } });
  });

  test("that holds too many rows keeps the newest", () => {
    const store = memoryStore();
    const evidence =
      '{"memory":{"recent":[],"samples":0,"heldMiB":0},"time":{"recent":[1],"samples":1,"meanMs":1}}';
    for (let index = 0; index < 5_000; index++) {
      const row = { ...key(1, `m${index}`), evidence, updatedAt: 10_000 - index };
      store.rows.set(`${index}`, row);
    }
    const models = openBook({ store })
      .list()
      .map(({ model }) => model);
    expect(models).toHaveLength(4_096);
    expect([models.includes("m0"), models.includes("m4999")]).toEqual([true, false]);
  });
});

describe("writing", () => {
  test("many measurements of one key are one write of two rows", async () => {
    const store = memoryStore();
    const book = openBook({ store });
    observeAll(book, repeat(1_000, run(1_000)));
    await book.flush();
    await book.flush();
    expect(store.writes).toEqual([2]);
  });

  test("says when the last measurement was made, in whole milliseconds", async () => {
    const store = memoryStore();
    const book = openBook({ store, clock: { ...clock, nowMs: () => 1_234.75 } });
    book.observe(run(1_000));
    await book.flush();
    expect(store.load().map(({ updatedAt }) => updatedAt)).toEqual([1_234, 1_234]);
    expect(book.list()[0]?.updatedAtMs).toBe(1_234);
  });

  test("a store that fails is told of once and tried again", async () => {
    const store = memoryStore();
    const { lines, log } = openLog();
    const book = openBook({ store, log });
    store.failure = new Error("the disk is full");
    book.observe(run(1_000));
    await book.flush();
    await book.flush();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("the disk is full");
    store.failure = undefined;
    await book.close();
    expect(store.rows.size).toBe(2);
  });

  test("a measurement made during a write is in the next one, which waits for it", async () => {
    const store = memoryStore();
    const { promise: gate, resolve: letGo } = Promise.withResolvers<void>();
    let atOnce = 0;
    const slow = {
      load: store.load,
      write: async (...rows: Parameters<typeof store.write>) => {
        expect(++atOnce).toBe(1);
        await gate;
        await store.write(...rows);
        atOnce -= 1;
      },
    };
    const book = openBook({ store: slow });
    book.observe(run(1_000));
    const first = book.flush();
    book.observe(run(3_000));
    const both = [book.flush(), book.close()];
    letGo();
    await Promise.all([first, ...both]);
    expect(openBook({ store }).list()).toEqual(book.list());
    expect(store.writes).toEqual([2, 2]);
  });
});
