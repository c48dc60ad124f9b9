/** What we believe of a device, in the form in which it is compared with the probe. */
import type { Admission } from "./admission.ts";
import type { Leases } from "./leases.ts";
import type { Device } from "./ledger.ts";
import type { Belief } from "./truth.ts";

/** By backend and external lease: what they hold there, and whose processes they are. */
export function beliefsOf(
  device: Device,
  admission: Admission,
  leases: Leases,
  pids: ReadonlyMap<string, readonly number[]>,
): Belief[] {
  const beliefs = new Map<string, Draft>();
  const of = (backend: string): Draft => {
    const known = beliefs.get(backend);
    if (known) return known;
    const own = pids.get(backend) ?? [];
    const nothing = { residentMiB: 0, workingMiB: 0, models: [], running: 0, settled: true };
    const fresh: Draft = { backend, pids: own, ...nothing };
    beliefs.set(backend, fresh);
    return fresh;
  };
  // A server that is up without a model still has its context there.
  for (const [backend, own] of pids) if (own.length > 0) of(backend);
  for (const { id, pid } of leases.list()) if (pid !== undefined) of(`lease:${id}`).pids = [pid];
  for (const { server, state, residentMiB, model } of device.places) {
    if (state === "reserved") continue;
    const belief = of(server.name);
    belief.residentMiB += residentMiB;
    belief.models.push(model);
    if (state !== "resident") belief.settled = false;
  }
  for (const { running } of admission.granted.values()) {
    if (running?.place.device !== device) continue;
    const belief = of(running.place.server.name);
    belief.workingMiB += running.job.workingMiB;
    belief.running++;
  }
  return [...beliefs.values()];
}

interface Draft {
  readonly backend: string;
  pids: readonly number[];
  residentMiB: number;
  workingMiB: number;
  models: string[];
  running: number;
  settled: boolean;
}
