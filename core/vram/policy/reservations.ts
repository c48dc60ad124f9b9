/**
 * The overdue lane: a job that has waited too long is promised the next turn on a device. What
 * stands in its way drains, that is takes no new jobs; everything else goes on around it.
 *
 * The bound, for one device, one key and a server with one model: when `n` jobs were overdue before
 * it, a job starts at most (n + 1) turns after it is overdue itself. A turn is the pause of the lane,
 * (run + load) / share of the job before, and then what was under way or promised: two loads, and
 * one run for the lane and for each model that has to leave or was loaded and has not served yet.
 * Several keys take turns in the lane, the one that used least first. A server's other models may
 * hold its slots, and strangers the memory: then there is no bound.
 */
import {
  type Device,
  freeMiB,
  type Group,
  headOf,
  type Place,
  type Reservation,
  type Waiting,
} from "../ledger.ts";
import { candidateOf, goesOverdueFirst } from "./candidates.ts";
import { isClaimed, isNew, isServed } from "./claims.ts";
import {
  canStart,
  fitsAlone,
  hasLane,
  hasMemory,
  hasSlot,
  isFresh,
  isStalled,
  mayLoad,
  pending,
} from "./fits.ts";
import type { Step, View } from "./policy.ts";
import { chooseVictims, keepValue } from "./victims.ts";

/** Brings a device with a reservation one step closer to it. */
export function serve(view: View): Step | undefined {
  for (const device of view.devices) {
    const { reservation } = device;
    const step = reservation && serveOne(reservation, device, view.nowMs);
    if (step) return step;
  }
  return undefined;
}

function serveOne(reservation: Reservation, device: Device, nowMs: number): Step | undefined {
  const { job, place, overdue } = reservation;
  if (!isPossible(place, job, nowMs)) return { kind: "unreserve", device };
  if (canStart(place, job)) return { kind: "start", job, place };
  if (place.state === "absent") {
    // The exclusive lane loads when it is free; else a load may run beside the long job before it.
    if (!mayLoad(place, nowMs)) return undefined;
    if (!place.server.loadsAhead && !hasLane(place, job.heavy)) return undefined;
    const chosen = victimsFor(reservation, nowMs, hasLane(place, job.heavy));
    return chosen && { kind: "load", job, place, victims: chosen };
  }
  if (place.state !== "resident" || hasMemory(place, job.workingMiB)) return undefined;
  const chosen = victimsFor(reservation, nowMs, true);
  if (chosen && chosen.length > 0) return { kind: "evict", victims: chosen };
  return chosen || overdue ? undefined : { kind: "unreserve", device };
}

/** Until the lane is free, only what nobody waits for leaves. */
function victimsFor({ job, place, victims }: Reservation, nowMs: number, isNext: boolean) {
  return chooseVictims(place, needOf(place, job), {
    nowMs,
    value: (it) => (victims.includes(it) ? 0 : keepValue(it)),
    mayLeave: (it) => isNext || pending(it) === 0,
    evenFresh: isStalled(place.device),
  });
}

/** Gives the overdue job that goes first a device that has no reservation. */
export function reserve(view: View): Step | undefined {
  const { nowMs, devices } = view;
  if (!devices.some((device) => mayReserve(device, nowMs))) return undefined;
  let first: Waiting | undefined;
  for (const group of view.groups) {
    const job = firstOverdue(group, view);
    if (job && (!first || goesOverdueFirst(job, first))) first = job;
  }
  return first && reservationFor(first, nowMs);
}

/** Of a group's overdue jobs the one that goes first; undefined when no device may be kept for it. */
function firstOverdue(group: Group, { nowMs, devices }: View): Waiting | undefined {
  const served = isServed(group);
  /** By working memory, in which alone the jobs of a group differ here. */
  const reservable = new Map<number, boolean>();
  let first: Waiting | undefined;
  for (const line of group.lines) {
    const job = headOf(line);
    if (job.urgentAtMs > nowMs || (first && !goesOverdueFirst(job, first))) continue;
    if (devices.some(({ reservation }) => reservation?.job === job)) continue;
    const { workingMiB } = job;
    const isOne =
      reservable.get(workingMiB) ??
      group.places.some((place) => isReservable(place, job, served, nowMs));
    reservable.set(workingMiB, isOne);
    if (isOne) first = job;
  }
  return first && !goesAnyway(first) ? first : undefined;
}

/** The next of its group, short, its model there: it starts with the next free slot. */
function goesAnyway(job: Waiting): boolean {
  if (job.heavy || candidateOf(job.group, Infinity)?.job !== job) return false;
  return job.group.places.some((place) => {
    const { state, device } = place;
    if (device.compute === "lane" || !place.server.available) return false;
    return state === "resident" ? hasMemory(place, job.workingMiB) : state === "loading";
  });
}

/** Whether a reservation on this device, if any, leaves the job its turn. */
export function mayStart(place: Place, job: Waiting): boolean {
  const { reservation } = place.device;
  if (!reservation || reservation.job === job) return true;
  const { job: overdue, place: reserved, victims } = reservation;
  // Once, so that its load was not for nothing; else it could never leave.
  if (isFresh(place)) return true;
  if (place.device.compute === "lane") return false;
  if (job.heavy && overdue.heavy && place.device.heavyRunning + 1 >= place.device.heavyLimit) {
    return false;
  }
  // A victim that has to serve first gets the lane first.
  if (job.heavy && victims.some(isNew)) return false;
  // The last slot of its server is its own.
  if (reserved.server === place.server && place.server.running + 1 >= place.server.slots) {
    return false;
  }
  if (isDraining(reservation) && victims.some((it) => isEmptiedWith(it, place))) return false;
  return job.workingMiB === 0 || roomBeside(reservation) >= job.workingMiB;
}

/** Whether a load on this device would take nothing that a reservation counts on. */
export function mayLoadBeside(place: Place, needMiB: number, victims: readonly Place[]): boolean {
  const { reservation } = place.device;
  if (!reservation) return true;
  const { server, device } = place;
  if (device.compute === "lane" || reservation.place.server === server) return false;
  let room = roomBeside(reservation) - needMiB;
  for (const victim of victims) {
    if (reservation.victims.includes(victim)) return false;
    room += victim.residentMiB;
  }
  return room >= 0;
}

/** MiB of the device that the reservation will not need, its victims gone. */
function roomBeside({ job, place, victims }: Reservation): number {
  const { device } = place;
  let room = freeMiB(device) - needOf(place, job);
  for (const victim of victims) {
    if (victim.state === "resident" && victim.device === device) room += victim.residentMiB;
  }
  return room;
}

/**
 * Victims drain from when the long jobs before it have ended: until then short ones may go on, and
 * they end soon.
 */
function isDraining({ job, place, victims }: Reservation): boolean {
  return hasLane(place, job.heavy) && !victims.some(({ heavyRunning }) => heavyRunning > 0);
}

/** Whether making the victim leave waits for this place too. */
function isEmptiedWith(victim: Place, place: Place): boolean {
  return (
    victim === place || (victim.server === place.server && place.server.frees === "everything")
  );
}

function mayReserve(device: Device, nowMs: number): boolean {
  return device.reservation === undefined && device.reserveAfterMs <= nowMs;
}

/** Not a further place, when those that count on the group's jobs are enough. */
function isReservable(place: Place, job: Waiting, served: boolean, nowMs: number): boolean {
  if (served && !isClaimed(place)) return false;
  return mayReserve(place.device, nowMs) && isPossible(place, job, nowMs);
}

/** A device is not kept for a job whose server has no slot for it: it would stand idle. */
function isPossible(place: Place, job: Waiting, nowMs: number): boolean {
  return hasSlot(place) && fitsAlone(place, job, nowMs);
}

function reservationFor(job: Waiting, nowMs: number): Step | undefined {
  let found: { place: Place; victims: Place[]; cost: number } | undefined;
  const served = isServed(job.group);
  for (const place of job.group.places) {
    if (!isReservable(place, job, served, nowMs)) continue;
    const victims = drained(place, job);
    let cost = place.state === "resident" ? 0 : place.loadMs;
    if (job.heavy && place.device.heavyRunning >= place.device.heavyLimit) {
      cost += Math.max(0, place.device.heavyUntilMs - nowMs);
    }
    for (const victim of victims) {
      cost += victim.loadMs;
      if (victim.heavyRunning > 0) cost += Math.max(0, place.device.heavyUntilMs - nowMs);
    }
    if (!found || cost < found.cost) found = { place, victims, cost };
  }
  if (!found) return undefined;
  return { kind: "reserve", job, place: found.place, victims: found.victims, overdue: true };
}

/** The residents, busy ones too, that have to become idle: none that is superfluous. */
function drained(place: Place, job: Waiting): Place[] {
  let missing = needOf(place, job) - freeMiB(place.device);
  if (missing <= 0) return [];
  const candidates = place.device.places
    .filter((it) => it !== place && !it.pinned && it.state !== "leaving")
    .sort(
      (a, b) =>
        a.heavyRunning - b.heavyRunning ||
        a.running - b.running ||
        pending(a) - pending(b) ||
        a.value - b.value,
    );
  const victims: Place[] = [];
  for (const candidate of candidates) {
    if (missing <= 0) break;
    victims.push(candidate);
    missing -= candidate.residentMiB;
  }
  for (const victim of [...victims]) {
    if (missing + victim.residentMiB > 0) continue;
    victims.splice(victims.indexOf(victim), 1);
    missing += victim.residentMiB;
  }
  return victims;
}

/** MiB that the job takes beside what is there already. */
function needOf(place: Place, job: Waiting): number {
  const { state, residentMiB, keptMiB } = place;
  return job.workingMiB + (state === "absent" ? residentMiB : -keptMiB);
}
