/**
 * Strict order of arrival, with packing: the oldest job starts as soon as it can, and nobody goes
 * before it. Residents leave by GDSF; those that the queue will need leave last, the farthest need
 * first.
 */
import { type Group, headOf, type Place, type Waiting } from "../ledger.ts";
import { isServed, leavesLoadIdle } from "./claims.ts";
import { canStart, hasLane, hasMemory, hasSlot, isFresh, isStalled, mayLoad } from "./fits.ts";
import type { Policy, Step, View } from "./policy.ts";
import { chooseVictims, PENDING_PREMIUM } from "./victims.ts";

export const fifo: Policy = {
  name: "fifo",
  order: "arrival",
  next(view) {
    const job = firstOf(view.groups);
    return job && (start(job) ?? makeRoom(job, view) ?? startFresh(view));
  },
};

/** The higher priority, then the earlier arrival. */
export function firstOf(groups: readonly Pick<Group, "lines">[]): Waiting | undefined {
  let found: Waiting | undefined;
  for (const { lines } of groups) {
    for (const line of lines) {
      const job = headOf(line);
      if (!found || goesBefore(job, found)) found = job;
    }
  }
  return found;
}

function goesBefore(a: Waiting, b: Waiting): boolean {
  return a.priority === b.priority ? a.seq < b.seq : a.priority > b.priority;
}

/** On the device that computes least. */
export function start(job: Waiting): Step | undefined {
  let found: Place | undefined;
  for (const place of job.group.places) {
    if (!canStart(place, job) || leavesLoadIdle(place, job)) continue;
    if (!found || place.device.running < found.device.running) found = place;
  }
  return found && { kind: "start", job, place: found };
}

/**
 * A model that was loaded for a job which is not the first any more, because a higher priority came:
 * it serves once, so that the load was not for nothing and it can leave.
 */
export function startFresh({ groups }: View): Step | undefined {
  for (const { lines, places } of groups) {
    const fresh = places.filter(isFresh);
    if (fresh.length === 0) continue;
    const job = firstOf([{ lines }]);
    const place = job && fresh.find((it) => canStart(it, job));
    if (place) return { kind: "start", job, place };
  }
  return undefined;
}

/** Loads the job's model, or makes room for the job beside it; where that costs least. */
function makeRoom(job: Waiting, { nowMs }: View): Step | undefined {
  const value = valueFor(job);
  const served = isServed(job.group);
  let found: { place: Place; victims: readonly Place[]; cost: number } | undefined;
  for (const place of job.group.places) {
    const { state, device } = place;
    if (!hasSlot(place) || !hasLane(place, job.heavy)) continue;
    if (state === "absent" && (served || !mayLoad(place, nowMs))) continue;
    if (state === "resident" ? hasMemory(place, job.workingMiB) : state !== "absent") continue;
    const needMiB = job.workingMiB + (state === "absent" ? place.residentMiB : -place.keptMiB);
    const evenFresh = isStalled(device);
    const victims = chooseVictims(place, needMiB, {
      nowMs,
      value,
      evenFresh,
      mayLeave: () => true,
    });
    if (!victims || (state === "resident" && victims.length === 0)) continue;
    const cost = victims.reduce((sum, victim) => sum + value(victim), 0);
    if (!found || cost < found.cost) found = { place, victims, cost };
  }
  if (!found) return undefined;
  const { place, victims } = found;
  return place.state === "resident"
    ? { kind: "evict", victims }
    : { kind: "load", job, place, victims };
}

/**
 * GDSF's value for what nobody waits for; above all of those what the queue needs: the load time
 * that it saves per MiB, the sooner the more (Belady's rule weighted with cost and size).
 */
function valueFor({ seq }: Waiting): (place: Place) => number {
  return (place) => {
    let next = Infinity;
    for (const { lines } of place.groups) {
      for (const line of lines) next = Math.min(next, headOf(line).seq);
    }
    if (next === Infinity) return place.value;
    return (
      PENDING_PREMIUM + place.loadMs / Math.max(1, place.residentMiB) / Math.max(1, next - seq)
    );
  };
}
