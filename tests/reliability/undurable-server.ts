/**
 * A server that breaks the promise of REL-01: it answers 202 after a commit that no fsync followed.
 * The check of REL-01 must see the difference.
 */
import { createIds } from "../../core/ids.ts";
import { openDatabase } from "../../core/storage/mod.ts";

const clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() };
const database = openDatabase({
  folder: process.argv[2] ?? "",
  ballastMiB: 0,
  clock,
  onFsyncFailure: () => process.exit(70),
});
const ids = createIds();
const insert = database.sqlite.prepare(
  `INSERT INTO jobs (id, key_id, capability, backend, status, priority, seq, input, created_at,
     updated_at) VALUES (?, 'k', 'test.work', 'work', 'pending', 5, 1, '{}', 0, 0)`,
);

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch() {
    const id = ids.uuid();
    await database.write(() => insert.run(id), { durable: false });
    return Response.json({ data: { job_id: id } }, { status: 202 });
  },
});
console.log(`listening http://127.0.0.1:${server.port}`);
