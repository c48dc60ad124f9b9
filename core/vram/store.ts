/** Learned costs on disk. Relaxed writes: a power loss takes seconds of learning and no promise. */
import { type Database, tables } from "../storage/mod.ts";
import type { CostStore } from "./costs/cost-store.ts";

const { costs } = tables;

export function createCostStore(database: Database): CostStore {
  // Prepared, because forgetting everything is thousands of rows in one commit.
  const put = database.sqlite.prepare(
    `INSERT INTO costs (backend, model, bucket, evidence, updated_at) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (backend, model, bucket)
     DO UPDATE SET evidence = excluded.evidence, updated_at = excluded.updated_at`,
  );
  const remove = database.sqlite.prepare(
    "DELETE FROM costs WHERE backend = ? AND model = ? AND bucket = ?",
  );
  return {
    load: () => database.queries.select().from(costs).all(),
    write: (rows, gone) =>
      database.write(
        () => {
          for (const id of gone) remove.run(id.backend, id.model, id.bucket);
          for (const row of rows) {
            put.run(row.backend, row.model, row.bucket, row.evidence, row.updatedAt);
          }
        },
        { durable: false },
      ),
  };
}
