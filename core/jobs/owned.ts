import type { Principal } from "../auth/principal.ts";
import { GatewayError } from "../errors.ts";
import type { Jobs } from "./jobs.ts";
import type { JobRow } from "./row.ts";

/**
 * The job, when it is the principal's own or the key has `jobs:admin`; else 404, as one that never
 * was.
 */
export function owned(jobs: Jobs, principal: Principal | undefined, id: string): JobRow {
  const row = jobs.get(id);
  const mine = principal && (row?.keyId === principal.keyId || principal.scopes.has("jobs:admin"));
  if (!row || !mine) throw new GatewayError("NOT_FOUND", `No job ${id}`);
  return row;
}
