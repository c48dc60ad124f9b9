/**
 * No wasted load: who loads counts on a waiting job, and so does a reservation. A job that others
 * count on does not start elsewhere, and nobody loads for jobs that are all counted on.
 */
import type { Group, Place, Waiting } from "../ledger.ts";
import { isFresh, pending } from "./fits.ts";

/** Loaded, or being loaded, and not used yet. */
export function isNew(place: Place): boolean {
  return place.state === "loading" || place.state === "reserved" || isFresh(place);
}

/** A job will be needed here. */
export function isClaimed(place: Place): boolean {
  return isNew(place) || place.device.reservation?.place === place;
}

/** Whether as many places count on the group's jobs as there are: one more would be in vain. */
export function isServed({ places }: Group): boolean {
  return places.some((place) => isClaimed(place) && pending(place) <= claimsBeside(place));
}

/** Whether a start here would leave another place without the job that it counts on. */
export function leavesLoadIdle(here: Place, job: Waiting): boolean {
  // Here it is the job that was counted on.
  if (isNew(here) || here.device.reservation?.job === job) return false;
  return job.group.places.some(
    (place) => isClaimed(place) && pending(place) === claimsBeside(place),
  );
}

/** Whether a server has a slot that no load of its own counts on. */
export function hasSpareSlot({ server }: Place): boolean {
  let left = server.slots - server.running;
  for (const place of server.places) {
    if (left <= 0) return false;
    if (isNew(place)) left--;
  }
  return left > 0;
}

/** Places that count on the same jobs, this one among them. */
function claimsBeside(place: Place): number {
  const seen = new Set<Place>();
  for (const { places, size } of place.groups) {
    if (size > 0) for (const other of places) if (isClaimed(other)) seen.add(other);
  }
  return seen.size;
}
