/** What one decision sees of the devices, and the choices it compares. */
import { type Device, freeMiB, headOf, type Place } from "../ledger.ts";
import type { Candidate } from "./candidates.ts";
import { isNew } from "./claims.ts";
import { isIdle } from "./fits.ts";

/** A group's next job in one of its places. */
export interface Option {
  readonly candidate: Candidate;
  readonly place: Place;
  /** Batch Smith ratio: the weight of the group's jobs per millisecond of their work and load. */
  readonly score: number;
}

/** What a device has left at this moment. */
export interface Outlook {
  readonly freeMiB: number;
  /** MiB that are free or held by idle residents: no load can have more. */
  readonly roomMiB: number;
  /** Long jobs that may still begin; a model loaded or loading for one counts as begun. */
  readonly lanes: number;
  /** Long jobs of greater score that will take the lane: their models are there, or coming. */
  heavyAhead: number;
}

export function outlookOf(device: Device, nowMs: number): Outlook {
  const free = freeMiB(device);
  let roomMiB = free;
  let lanes = device.heavyLimit - device.heavyRunning;
  for (const place of device.places) {
    if (isIdle(place, nowMs)) roomMiB += place.residentMiB;
    if (isNew(place) && isHeavy(place)) lanes--;
  }
  return { freeMiB: free, roomMiB, lanes, heavyAhead: 0 };
}

function isHeavy({ groups }: Place): boolean {
  return groups.some(({ lines }) => lines[0] && headOf(lines[0]).heavy);
}
