/** Making room by order of the operator: whatever is idle and was named leaves. */

import type { ModelEffects } from "./effects.ts";
import type { Device, Place } from "./ledger.ts";
import { freeMiB } from "./ledger.ts";
import { isIdle } from "./policy/fits.ts";
import type { Reclaimer, ReclaimResult } from "./reclaim/reclaim.ts";
import type { Roster } from "./roster.ts";
import type { Scheduler } from "./scheduler.ts";

/** Which residents an operator wants gone; everything that is idle when nothing is said. */
export interface FreeOrder {
  readonly device?: string;
  readonly backend?: string;
  readonly model?: string;
  /** Only as much as is missing to have this much free. */
  readonly mib?: number;
}

export interface FreeReport {
  readonly results: readonly ReclaimResult[];
  /** They were meant but compute, are pinned, or cannot be made to leave. */
  readonly kept: readonly { readonly place: Place; readonly reason: string }[];
}

export interface FreePorts {
  readonly devices: ReadonlyMap<string, Device>;
  readonly scheduler: Scheduler;
  readonly effects: ModelEffects;
  readonly roster: Roster;
  readonly reclaimer: Reclaimer;
  readonly nowMs: () => number;
}

export async function freeModels(order: FreeOrder, ports: FreePorts): Promise<FreeReport> {
  const meant = [...ports.devices.values()]
    .flatMap(({ places }) => places)
    .filter((place) => isMeant(place, order) && ports.roster.port(place.server.name));
  const kept: FreeReport["kept"][number][] = [];
  const chosen: Place[] = [];
  // The least valuable go first; when an amount was asked for, no more than it takes.
  for (const place of meant.sort((a, b) => a.value - b.value)) {
    const reason = obstacle(place, ports);
    if (reason) kept.push({ place, reason });
    else if (isMissing(place.device, order, chosen)) chosen.push(place);
  }
  const bundles = ports.scheduler.leave([...new Set(chosen.flatMap(companions))]);
  const results = await Promise.all(bundles.map(ports.effects.evictNow));
  return { results, kept };
}

function isMeant(place: Place, { device, backend, model }: FreeOrder): boolean {
  if (place.state !== "resident") return false;
  if (device !== undefined && place.device.name !== device) return false;
  if (backend !== undefined && place.server.name !== backend) return false;
  return model === undefined || place.model === model;
}

/** What leaves with it, itself included. */
function companions(place: Place): readonly Place[] {
  const { server } = place;
  if (server.frees === "model") return [place];
  return server.places.filter(({ state }) => state === "resident");
}

function isMissing(device: Device, { mib }: FreeOrder, chosen: readonly Place[]): boolean {
  if (mib === undefined) return true;
  let free = freeMiB(device);
  for (const place of new Set(chosen.flatMap(companions))) {
    if (place.device === device) free += place.residentMiB;
  }
  return free < mib;
}

function obstacle(place: Place, { roster, reclaimer, nowMs }: FreePorts): string | undefined {
  const port = roster.port(place.server.name);
  if (place.running > 0)
    return place.running === 1 ? "a job computes with it" : `${place.running} jobs compute with it`;
  if (place.pinned) return "it is pinned";
  if (port && reclaimer.verbs(port).length === 0) {
    return `${port.title} has no call to unload it, and the gateway does not run its process`;
  }
  // An operator who asks again wants it tried again.
  if (place.stuckUntilMs > nowMs()) place.stuckUntilMs = nowMs();
  return isIdle(place, nowMs()) ? undefined : "its server computes for another model";
}
