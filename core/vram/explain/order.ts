/**
 * Who goes before whom, without looking ahead: by the fair policy's batch ratio, or by arrival.
 * Cheap enough for every row of a list: it looks at groups and lines, never at single jobs.
 */
import type { Device, Group, Line, Place, Server, Waiting } from "../ledger.ts";
import type { View } from "../policy/policy.ts";

/** What the policy in force orders by, near enough. */
export type OrdersBy = "batch" | "arrival";

/** How long it takes until a job could compute there, the victims' leaving not counted. */
export function setupMsOf({ state, loadedAtMs, loadMs }: Place, nowMs: number): number {
  if (state === "resident") return 0;
  return state === "loading" ? Math.max(0, loadedAtMs - nowMs) : loadMs;
}

/** Smith's ratio: weighted jobs of the group per second of work, the load included. */
export function scoreOf(view: View, { lines }: Group, place: Place, nowMs: number): number {
  const limitMs = shareLimitMs(view);
  const allowed = lines.filter(({ share }) => share.usedMs <= limitMs);
  let weight = 0;
  let workMs = setupMsOf(place, nowMs);
  for (const line of allowed.length > 0 ? allowed : lines) {
    weight += line.weight;
    workMs += line.runMs;
  }
  return weight === 0 ? 0 : (1000 * weight) / Math.max(1, workMs);
}

/** What a key may have used and still be served before others. */
export function shareLimitMs({ shares, settings }: View): number {
  return shares.length < 2 ? Infinity : leastUsedMs(shares) + settings.fairnessMs;
}

export function leastUsedMs(shares: View["shares"]): number {
  let least = Infinity;
  for (const { usedMs } of shares) least = Math.min(least, usedMs);
  return least;
}

/** Groups that are served before this one on the place's device, as things stand. */
export function rankOf(view: View, place: Place, score: number, nowMs: number): number {
  let rank = 0;
  for (const group of view.groups) {
    const here = group.places.filter((it) => it.device === place.device && it.server.available);
    if (here.some((it) => it !== place && scoreOf(view, group, it, nowMs) > score)) rank++;
  }
  return rank;
}

/** Jobs that go before it where it could run. */
export function aheadOf(view: View, job: Waiting, ordersBy: OrdersBy, nowMs: number): number {
  const { places } = job.group;
  const holders = new Set(places.map(({ device }) => device.reservation?.job));
  if (holders.delete(job)) return 0;
  holders.delete(undefined);
  const own = standing(view, job.group, nowMs);
  const shared = new Set<Device | Server>();
  for (const { device, server } of places) shared.add(device).add(server);
  let ahead = 0;
  for (const group of view.groups) {
    if (!group.places.some(({ device, server }) => shared.has(device) || shared.has(server)))
      continue;
    if (ordersBy === "arrival" || group === job.group) {
      const counts = ordersBy === "arrival" ? earlier : moreUrgent;
      for (const line of group.lines) ahead += countBefore(line, job, counts);
      for (const holder of holders) {
        if (holder?.group === group && counts(holder, job)) holders.delete(holder);
      }
      continue;
    }
    const other = standing(view, group, nowMs);
    if (!other || (own && !goesBefore(other, own))) continue;
    ahead += group.size;
    for (const holder of holders) if (holder?.group === group) holders.delete(holder);
  }
  return ahead + holders.size;
}

interface Standing {
  /** Some of its keys have not used more than they may. */
  readonly allowed: boolean;
  readonly score: number;
}

/** Undefined when nothing of the group can run. */
function standing(view: View, group: Group, nowMs: number): Standing | undefined {
  const limitMs = shareLimitMs(view);
  let score = -1;
  for (const place of group.places) {
    if (place.server.available) score = Math.max(score, scoreOf(view, group, place, nowMs));
  }
  if (score < 0) return undefined;
  return { allowed: group.lines.some(({ share }) => share.usedMs <= limitMs), score };
}

function goesBefore(a: Standing, b: Standing): boolean {
  return a.allowed === b.allowed ? a.score > b.score : a.allowed;
}

/** A line is in this order, so that the number before a job is found by halving. */
function countBefore(
  { jobs, head, priority }: Line,
  job: Waiting,
  isBefore: (a: Waiting, b: Waiting) => boolean,
): number {
  if (priority > job.priority) return jobs.length - head;
  if (priority < job.priority) return 0;
  let low = head;
  let high = jobs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(jobs[middle] as Waiting, job)) low = middle + 1;
    else high = middle;
  }
  return low - head;
}

function earlier(a: Waiting, b: Waiting): boolean {
  return a.seq < b.seq;
}

function moreUrgent(a: Waiting, b: Waiting): boolean {
  return a.urgentAtMs === b.urgentAtMs ? a.seq < b.seq : a.urgentAtMs < b.urgentAtMs;
}
