/** Where a group's model is loaded, and whether at all: who would have to leave, and what it costs. */
import { freeMiB, type Place, type Waiting } from "../ledger.ts";
import { rateOf } from "./candidates.ts";
import { hasSpareSlot, isServed } from "./claims.ts";
import { mayLoad } from "./fits.ts";
import type { Option, Outlook } from "./outlook.ts";
import type { Step, View } from "./policy.ts";
import { mayLoadBeside } from "./reservations.ts";
import { chooseVictims, keepValue } from "./victims.ts";

type Load = Step & { readonly kind: "load" };

/** What can be said before the options are compared, and rules most of them out. */
export function isLoadThinkable(
  place: Place,
  job: Waiting,
  outlook: Outlook,
  nowMs: number,
): boolean {
  if (!mayLoad(place, nowMs)) return false;
  const needMiB = place.residentMiB + job.workingMiB;
  if (!job.heavy || outlook.lanes > 0) return needMiB <= outlook.roomMiB;
  // One may come while the lane is taken, into room that nobody else has.
  if (outlook.lanes < 0 || place.device.compute === "lane") return false;
  // Not on paper, and not for a lane that nobody knows the end of: it would keep others out.
  if (!place.server.loadsAhead || place.device.openEnded > 0) return false;
  return needMiB <= outlook.freeMiB;
}

/**
 * The cheapest of the group's loads, by the milliseconds that it takes, that its victims will take to
 * come back, and that computing beside others costs. None while the model is somewhere already and
 * will be free there sooner.
 */
export function bestLoad(
  view: View,
  options: readonly Option[],
  outlooks: readonly Outlook[],
): Load | undefined {
  let found: Load | undefined;
  let leastMs = Infinity;
  for (const option of options) {
    const { device, loadMs } = option.place;
    const { job } = option.candidate;
    const load = loadFor(view, option, outlooks[device.index] as Outlook);
    if (!load) continue;
    const swapMs = load.victims.reduce((sum, victim) => sum + victim.loadMs, loadMs);
    if (swapMs > freeElsewhereMs(job, view.nowMs)) continue;
    const costMs = swapMs + contentionMs(option.place, job);
    if (costMs < leastMs) [leastMs, found] = [costMs, load];
  }
  return found;
}

/**
 * For a short job whose model is beside running work: a load onto a device where nothing runs, into
 * free room, when that costs less than to share.
 */
export function quieterLoad(
  view: View,
  { candidate, place }: Option,
  outlooks: readonly Outlook[],
): Load | undefined {
  const { job } = candidate;
  const sharedMs = contentionMs(place, job);
  if (job.heavy || sharedMs === 0 || view.devices.length < 2) return undefined;
  const { places } = job.group;
  if (places.some((it) => it.state !== "absent" && it.device.running === 0)) return undefined;
  for (const other of places) {
    const { state, device, loadMs, residentMiB } = other;
    if (state !== "absent" || device.running + device.loading > 0 || loadMs >= sharedMs) continue;
    if (freeMiB(device) < residentMiB + job.workingMiB) continue;
    const option = { candidate, place: other, score: 0 };
    const load = loadFor(view, option, outlooks[device.index] as Outlook);
    if (load) return load;
  }
  return undefined;
}

function loadFor({ nowMs }: View, option: Option, outlook: Outlook): Load | undefined {
  const { candidate, place, score } = option;
  const { job } = candidate;
  if (!mayLoad(place, nowMs)) return undefined;
  const needMiB = place.residentMiB + job.workingMiB;
  // Work that is worth more per second than this batch is not thrown out for it.
  let mayLeave = (victim: Place) => rateOf(victim) < score;
  if (job.heavy && outlook.lanes <= 0) {
    if (outlook.heavyAhead > 0) return undefined;
    mayLeave = () => false;
  }
  if (isServed(job.group) || !hasSpareSlot(place)) return undefined;
  const victims = chooseVictims(place, needMiB, { nowMs, value: keepValue, mayLeave });
  if (!victims || !mayLoadBeside(place, needMiB, victims)) return undefined;
  return { kind: "load", job, place, victims };
}

/** Expected wait for a long job's lane where the model is; Infinity when it waits for other things. */
function freeElsewhereMs({ group, heavy }: Waiting, nowMs: number): number {
  let leastMs = Infinity;
  for (const { state, device } of group.places) {
    if (state !== "resident" || !heavy || device.heavyRunning < device.heavyLimit) continue;
    leastMs = Math.min(leastMs, Math.max(0, device.heavyUntilMs - nowMs));
  }
  return leastMs;
}

/** What two jobs that share a device lose: each is slower by about the shorter one's run. */
function contentionMs({ device }: Place, { runMs }: Waiting): number {
  return device.compute === "shared" && device.running > 0 ? 2 * runMs : 0;
}
