/**
 * The default policy. Shortest batches first (Smith's ratio over groups, loads included), residents
 * leave by GDSF, keys get equal shares, and an overdue job gets a reservation so that nothing
 * starves. `../DESIGN.md` has it on one page, with sources.
 */
import { type Device, freeMiB, headOf, type Place, type Waiting } from "../ledger.ts";
import { type Candidate, candidateOf, rateOf, shareLimit } from "./candidates.ts";
import { isNew, isServed, leavesLoadIdle } from "./claims.ts";
import { canStart, hasLane, hasMemory, hasSlot, isIdle, mayLoad } from "./fits.ts";
import type { Policy, Step, View } from "./policy.ts";
import { mayLoadBeside, mayStart, reserve, serve } from "./reservations.ts";
import { chooseVictims, keepValue } from "./victims.ts";

export const fair: Policy = {
  name: "fair",
  next(view) {
    const urgent = serve(view) ?? reserve(view);
    if (urgent) return urgent;
    const limitMs = shareLimit(view);
    // What the others cannot use now, a key that is ahead of them may.
    return best(view, limitMs) ?? (limitMs < Infinity ? best(view, Infinity) : undefined);
  },
};

/** A group's next job in one of its places. */
interface Option {
  readonly candidate: Candidate;
  readonly place: Place;
  readonly score: number;
}

/** What a device has left at this moment. */
interface Outlook {
  readonly freeMiB: number;
  /** MiB that are free or held by idle residents: no load can have more. */
  roomMiB: number;
  /** Long jobs that may still begin, those that are loaded or loading for one counted as begun. */
  lanes: number;
  /** Long jobs of greater score that will take the lane: their models are there, or coming. */
  heavyAhead: number;
}

function best(view: View, limitMs: number): Step | undefined {
  const outlooks = view.devices.map((device) => outlookOf(device, view.nowMs));
  const options = optionsOf(view, limitMs, outlooks);
  options.sort((a, b) => b.score - a.score);
  for (const option of options) {
    const { candidate, place } = option;
    const { job } = candidate;
    const { device } = place;
    const outlook = outlooks[device.index] as Outlook;
    if (place.state === "absent") {
      const step = load(view, option, outlook);
      if (step) return step;
    } else if (job.heavy && device.heavyRunning + outlook.heavyAhead >= device.heavyLimit) {
      outlook.heavyAhead++;
    } else if (canStart(place, job)) {
      if (mayStart(place, job) && !leavesLoadIdle(place, job)) return { kind: "start", job, place };
    } else if (place.state === "resident") {
      const step = makeRoom(view, option);
      if (step) return step;
    } else if (job.heavy) {
      outlook.heavyAhead++;
    }
  }
  return undefined;
}

function outlookOf(device: Device, nowMs: number): Outlook {
  const free = freeMiB(device);
  let roomMiB = free;
  let lanes = device.heavyLimit - device.heavyRunning;
  for (const place of device.places) {
    if (isIdle(place, nowMs)) roomMiB += place.residentMiB;
    if (isNew(place) && isHeavy(place)) lanes--;
  }
  return { freeMiB: free, roomMiB, lanes, heavyAhead: 0 };
}

function optionsOf(view: View, limitMs: number, outlooks: readonly Outlook[]): Option[] {
  const { groups, nowMs } = view;
  const options: Option[] = [];
  for (const group of groups) {
    let candidate: Candidate | undefined;
    for (const place of group.places) {
      const { state, residentMiB } = place;
      if (!hasSlot(place) || state === "leaving") continue;
      const outlook = outlooks[place.device.index] as Outlook;
      if (state === "absent" && residentMiB > outlook.roomMiB) continue;
      candidate ??= candidateOf(group, limitMs);
      if (!candidate) break;
      if (state === "absent" && !isLoadThinkable(place, candidate.job, outlook, nowMs)) continue;
      const score = candidate.weight / (setupOf(place, nowMs) + candidate.runMs);
      options.push({ candidate, place, score });
    }
  }
  return options;
}

/** What can be said before the options are compared, and rules most of them out. */
function isLoadThinkable(place: Place, job: Waiting, outlook: Outlook, nowMs: number): boolean {
  if (!mayLoad(place, nowMs)) return false;
  const needMiB = place.residentMiB + job.workingMiB;
  if (!job.heavy || outlook.lanes > 0) return needMiB <= outlook.roomMiB;
  // One may come while the lane is taken, into room that nobody else has.
  if (outlook.lanes < 0 || place.device.compute === "lane") return false;
  return needMiB <= outlook.freeMiB;
}

function setupOf(place: Place, nowMs: number): number {
  if (place.state === "resident") return 0;
  if (place.state === "loading") return Math.max(0, place.loadedAtMs - nowMs);
  return place.loadMs;
}

function load({ nowMs }: View, option: Option, outlook: Outlook): Step | undefined {
  const { candidate, place, score } = option;
  const { job } = candidate;
  const needMiB = place.residentMiB + job.workingMiB;
  // Work that is worth more per second than this batch is not thrown out for it.
  let mayLeave = (victim: Place) => rateOf(victim) < score;
  if (job.heavy && outlook.lanes <= 0) {
    if (outlook.heavyAhead > 0) return undefined;
    mayLeave = () => false;
  }
  if (isServed(job.group)) return undefined;
  const victims = chooseVictims(place, needMiB, { nowMs, value: keepValue, mayLeave });
  if (!victims || !mayLoadBeside(place, needMiB, victims)) return undefined;
  return { kind: "load", job, place, victims };
}

/** The model is there and only the job's own memory is not: idle residents leave for it. */
function makeRoom({ nowMs }: View, { candidate, place, score }: Option): Step | undefined {
  const { job } = candidate;
  const { device } = place;
  if (device.reservation || hasMemory(place, job.workingMiB)) return undefined;
  if (!hasLane(place, job.heavy) || leavesLoadIdle(place, job)) return undefined;
  const victims = chooseVictims(place, job.workingMiB - place.keptMiB, {
    nowMs,
    value: keepValue,
    mayLeave: (victim) => rateOf(victim) < score,
  });
  if (!victims || victims.length === 0) return undefined;
  return { kind: "reserve", job, place, victims, overdue: false };
}

function isHeavy({ groups }: Place): boolean {
  return groups.some(({ lines }) => lines[0] && headOf(lines[0]).heavy);
}
