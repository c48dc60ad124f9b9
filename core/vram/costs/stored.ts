/** Reads the stored rows back. One that cannot be read is left out, with one warning for all. */
import type { Log } from "../../log.ts";
import type { CostStore, StoredCost } from "./cost-store.ts";
import { type CostTable, WHOLE_MODEL } from "./cost-table.ts";
import { decode, type Evidence } from "./evidence.ts";
import { MAX_BUCKET } from "./size-bucket.ts";

const SHOWN_ROWS = 5;

export function restore(table: CostTable<unknown>, store: CostStore, log: Log): void {
  const corrupt: string[] = [];
  // Oldest first, so that the table, if it is too small, keeps the newest. A model comes after its
  // buckets, because it is counted by them; one that has lost them gets bucket 0.
  const rows = [...store.load()].sort(
    (a, b) => Number(isModel(a)) - Number(isModel(b)) || a.updatedAt - b.updatedAt,
  );
  for (const row of rows) {
    const evidence = evidenceFrom(row);
    if (!evidence) {
      corrupt.push(`${row.backend}/${row.model}/${row.bucket}`);
      continue;
    }
    const known = table.find(row.backend, row.model)?.buckets.keys().next().value;
    const [model, record] = table.open(
      row.backend,
      row.model,
      isModel(row) ? (known ?? 0) : row.bucket,
    );
    const target = isModel(row) ? model : record;
    Object.assign(target.evidence, evidence);
    target.updatedAtMs = row.updatedAt;
  }
  if (corrupt.length === 0) return;
  log.warn("learned costs that cannot be read are ignored", {
    rows: corrupt.length,
    first: corrupt.slice(0, SHOWN_ROWS),
  });
}

const isModel = ({ bucket }: StoredCost): boolean => bucket === WHOLE_MODEL;

function evidenceFrom({ bucket, evidence }: StoredCost): Evidence | undefined {
  if (!Number.isInteger(bucket) || bucket < WHOLE_MODEL || bucket > MAX_BUCKET) return undefined;
  return decode(evidence);
}
