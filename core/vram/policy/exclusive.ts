/**
 * One GPU-intensive service at a time, taken literally: a device holds one model, jobs go in strict
 * order of arrival, and the next model comes when the one before is idle and gone.
 */
import { type Device, freeMiB, type Place, type Waiting } from "../ledger.ts";
import { isServed } from "./claims.ts";
import { firstOf, start, startFresh } from "./fifo.ts";
import { hasLane, hasSlot, isFresh, isIdle, isStalled, mayLoad } from "./fits.ts";
import type { Policy, Step, View } from "./policy.ts";

export const exclusive: Policy = {
  name: "exclusive",
  order: "arrival",
  next(view) {
    const job = firstOf(view.groups);
    return job && (start(job) ?? replace(job, view) ?? startFresh(view));
  },
};

/** Empties a device for the job's model, then loads it. */
function replace(job: Waiting, { nowMs }: View): Step | undefined {
  if (isServed(job.group)) return undefined;
  let found: Place | undefined;
  for (const place of job.group.places) {
    if (!mayLoad(place, nowMs) || !hasSlot(place) || !hasLane(place, job.heavy)) continue;
    if (!fitsThen(place, job) || !canEmpty(place.device, nowMs)) continue;
    if (!found || lastUse(place) < lastUse(found)) found = place;
  }
  if (!found) return undefined;
  const victims = leaving(found.device);
  return victims.length === 0
    ? { kind: "load", job, place: found, victims }
    : { kind: "evict", victims };
}

/** Whether it will have room when the device is empty. */
function fitsThen({ device, residentMiB }: Place, { workingMiB }: Waiting): boolean {
  const heldMiB = device.places.reduce((sum, place) => sum + place.residentMiB, 0);
  return residentMiB + workingMiB <= freeMiB(device) + heldMiB;
}

function canEmpty(device: Device, nowMs: number): boolean {
  const evenFresh = isStalled(device);
  return leaving(device).every((it) => isIdle(it, nowMs) && (evenFresh || !isFresh(it)));
}

/** All that goes when the device is emptied: of a server that frees everything, also elsewhere. */
function leaving({ places }: Device): Place[] {
  const all = new Set(places);
  for (const { server } of places) {
    if (server.frees === "model") continue;
    for (const place of server.places) if (place.state !== "absent") all.add(place);
  }
  return [...all];
}

/** An empty device first, then the one whose model was used longest ago. */
function lastUse({ device }: Place): number {
  return device.places.reduce((latest, { lastUsedMs }) => Math.max(latest, lastUsedMs), -1);
}
