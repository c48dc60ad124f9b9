/** What we believe of a device, in the form in which it is compared with the probe. */
import type { Admission } from "./admission.ts";
import type { Leases } from "./leases.ts";
import type { Device, Place } from "./ledger.ts";
import type { Owners } from "./owners.ts";
import type { Roster } from "./roster.ts";
import type { Belief } from "./truth.ts";

export interface BeliefSources {
  readonly admission: Admission;
  readonly leases: Leases;
  readonly roster: Roster;
  readonly owners: Owners;
}

/** By backend and external lease: what they hold there, and whose processes they are. */
export function beliefsOf(device: Device, sources: BeliefSources): Belief[] {
  const { admission, leases, roster, owners } = sources;
  const beliefs = new Map<string, Draft>();
  const of = (backend: string): Draft => {
    const known = beliefs.get(backend);
    if (known) return known;
    const nothing = { residentMiB: 0, workingMiB: 0, models: [], running: 0 };
    const settled = owners.isCurrent(backend);
    const fresh: Draft = { backend, pids: owners.pids(backend), settled, ...nothing };
    beliefs.set(backend, fresh);
    return fresh;
  };
  // A server that is up without a model still has its context there.
  for (const backend of roster.servers.keys()) if (owners.pids(backend).length > 0) of(backend);
  for (const { id, pid } of leases.list()) if (pid !== undefined) of(`lease:${id}`).pids = [pid];
  for (const place of device.places) {
    const { server, state, residentMiB, model } = place;
    if (state === "reserved") continue;
    const belief = of(server.name);
    belief.residentMiB += residentMiB;
    belief.models.push(model);
    if (state !== "resident" || isArriving(place, roster)) belief.settled = false;
  }
  for (const { running } of admission.granted.values()) {
    if (running?.place.device !== device) continue;
    const belief = of(running.place.server.name);
    belief.workingMiB += running.job.workingMiB;
    belief.running++;
  }
  return [...beliefs.values()];
}

/** Where the server loads by itself, the model comes during its first job. */
function isArriving({ server, served, running }: Place, roster: Roster): boolean {
  return served <= 1 && running > 0 && !roster.port(server.name)?.load;
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
