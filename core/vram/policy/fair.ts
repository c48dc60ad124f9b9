/**
 * The default policy. Shortest batches first (Smith's ratio over groups, loads included), residents
 * leave by GDSF, keys get equal shares, and an overdue job gets a reservation so that nothing
 * starves. `../DESIGN.md` has it on one page, with sources.
 */
import type { Place } from "../ledger.ts";
import { type Candidate, candidateOf, rateOf, shareLimit } from "./candidates.ts";
import { hasSpareSlot, isNew, leavesLoadIdle } from "./claims.ts";
import { canStart, hasLane, hasMemory, hasSlot } from "./fits.ts";
import { type Option, type Outlook, outlookOf } from "./outlook.ts";
import { bestLoad, isLoadThinkable, quieterLoad } from "./placement.ts";
import type { Policy, Step, View } from "./policy.ts";
import { mayStart, reserve, serve } from "./reservations.ts";
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

function best(view: View, limitMs: number): Step | undefined {
  const outlooks = view.devices.map((device) => outlookOf(device, view.nowMs));
  const options = optionsOf(view, limitMs, outlooks);
  options.sort(byScore);
  const tried = new Set<Candidate>();
  for (const option of options) {
    const { candidate, place } = option;
    const { heavy } = candidate.job;
    const { device } = place;
    const outlook = outlooks[device.index] as Outlook;
    let step: Step | undefined;
    if (place.state === "absent") {
      if (tried.has(candidate)) continue;
      tried.add(candidate);
      step = bestLoad(view, loadsOf(candidate, options), outlooks);
    } else if (heavy && device.heavyRunning + outlook.heavyAhead >= device.heavyLimit) {
      outlook.heavyAhead++;
    } else if (canStart(place, candidate.job)) {
      step = start(view, option, outlooks);
    } else if (place.state === "resident") {
      step = makeRoom(view, option);
    } else if (heavy) {
      outlook.heavyAhead++;
    }
    if (step) return step;
  }
  return undefined;
}

/** The greatest score; of a group's places the one where least is going on. */
function byScore(a: Option, b: Option): number {
  return b.score - a.score || a.place.device.running - b.place.device.running;
}

function loadsOf(candidate: Candidate, options: readonly Option[]): Option[] {
  return options.filter((it) => it.candidate === candidate && it.place.state === "absent");
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

function setupOf(place: Place, nowMs: number): number {
  if (place.state === "resident") return 0;
  if (place.state === "loading") return Math.max(0, place.loadedAtMs - nowMs);
  return place.loadMs;
}

function start(view: View, option: Option, outlooks: readonly Outlook[]): Step | undefined {
  const { candidate, place } = option;
  const { job } = candidate;
  if (job.heavy && standsBack(place, view.nowMs)) return undefined;
  const quieter = quieterLoad(view, option, outlooks);
  if (quieter) return quieter;
  if (!mayStart(place, job) || leavesLoadIdle(place, job)) return undefined;
  if (!isNew(place) && !hasSpareSlot(place)) return undefined;
  return { kind: "start", job, place };
}

/**
 * A long job does not begin beside short ones: they would take twice as long, and it would hardly be
 * done sooner. Not for short ones that overrun. An overdue job does not come through here, and whose
 * model it waits to see served and gone does not stand back.
 */
function standsBack(place: Place, nowMs: number): boolean {
  const { compute, running, heavyRunning, lightUntilMs, reservation } = place.device;
  if (reservation && isNew(place)) return false;
  return compute === "shared" && running > heavyRunning && nowMs < lightUntilMs;
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
