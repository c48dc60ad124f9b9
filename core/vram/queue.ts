/** The waiting jobs: by group, key and priority, so that a decision never looks at each of them. */
import type { Group, Line, Share, Waiting } from "./ledger.ts";

export interface Queue {
  /** Groups with waiting jobs. */
  readonly groups: readonly Group[];
  /** Keys with waiting jobs. */
  readonly shares: readonly Share[];
  readonly size: number;
  /** Puts a job in its line; `share` and `line` are chosen here. */
  add(job: Omit<Waiting, "line">, key: string, keyWeight: number): Waiting;
  remove(job: Waiting): void;
  /** The key used this many milliseconds of a device. */
  charge(share: Share, usedMs: number): void;
}

/** Keys that have nothing waiting are remembered up to this number, the latest first. */
const MAX_IDLE_SHARES = 10_000;

export function createQueue(order: "urgency" | "arrival" = "urgency"): Queue {
  const before = order === "arrival" ? earlier : moreUrgent;
  const groups: Group[] = [];
  const active: Share[] = [];
  const known = new Map<string, Share>();
  /** What the least user among those who waited had used, the last time that anybody waited. */
  let floorMs = 0;
  let size = 0;

  function shareOf(key: string, weight: number): Share {
    let share = known.get(key);
    if (!share || share.weight !== weight) {
      share = { key, weight, usedMs: share?.usedMs ?? 0, waiting: 0 };
      known.set(key, share);
      if (known.size > MAX_IDLE_SHARES) forgetOldest();
    }
    return share;
  }

  function forgetOldest(): void {
    for (const [key, share] of known) {
      if (share.waiting > 0) continue;
      known.delete(key);
      return;
    }
  }

  /** Who waits for nothing saves nothing up: on coming back it starts with the least user. */
  function activate(share: Share): void {
    if (active.length > 0) {
      let least = Number.POSITIVE_INFINITY;
      for (const { usedMs } of active) least = Math.min(least, usedMs);
      floorMs = Math.max(floorMs, least);
    }
    share.usedMs = Math.max(share.usedMs, floorMs);
    active.push(share);
  }

  /** Nor does who used a device that nobody else wanted owe it to those who come later. */
  function deactivate(share: Share): void {
    drop(active, share);
    if (active.length === 0) floorMs = Math.max(floorMs, share.usedMs);
  }

  return {
    groups,
    shares: active,
    get size() {
      return size;
    },
    add(bare, key, keyWeight) {
      const { group, priority } = bare;
      const share = shareOf(key, keyWeight);
      let line = group.lines.find((it) => it.share === share && it.priority === priority);
      if (!line) {
        line = { share, priority, jobs: [], head: 0, weight: 0, runMs: 0 };
        group.lines.push(line);
      }
      const job: Waiting = { ...bare, line };
      insert(line, job, before);
      line.weight += job.weight;
      line.runMs += job.runMs;
      group.weight += job.weight;
      group.runMs += job.runMs;
      if (group.size++ === 0) groups.push(group);
      if (share.waiting++ === 0) activate(share);
      size++;
      return job;
    },
    remove(job) {
      const { group, line } = job;
      if (line.jobs[line.head] === job) line.head++;
      else line.jobs.splice(indexOf(line, job, before), 1);
      compact(line);
      line.weight -= job.weight;
      line.runMs -= job.runMs;
      group.weight -= job.weight;
      group.runMs -= job.runMs;
      if (line.jobs.length === 0) drop(group.lines, line);
      if (--group.size === 0) {
        drop(groups, group);
        // Sums of fractions do not come back to zero by themselves.
        group.weight = 0;
        group.runMs = 0;
      }
      if (--line.share.waiting === 0) deactivate(line.share);
      size--;
    },
    charge(share, usedMs) {
      share.usedMs += usedMs / share.weight;
    },
  };
}

type Before = (a: Waiting, b: Waiting) => boolean;

const earlier: Before = (a, b) => a.seq < b.seq;

/** The most urgent first; among equals the earlier one. */
const moreUrgent: Before = (a, b) =>
  a.urgentAtMs === b.urgentAtMs ? a.seq < b.seq : a.urgentAtMs < b.urgentAtMs;

function insert({ jobs, head }: Line, job: Waiting, before: Before): void {
  const last = jobs.at(-1);
  // Most arrivals belong at the end.
  if (jobs.length === head || !last || before(last, job)) jobs.push(job);
  else jobs.splice(positionOf(jobs, head, job, before), 0, job);
}

function positionOf(jobs: readonly Waiting[], from: number, job: Waiting, before: Before): number {
  let low = from;
  let high = jobs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (before(jobs[middle] as Waiting, job)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function indexOf({ jobs, head }: Line, job: Waiting, before: Before): number {
  const index = positionOf(jobs, head, job, before);
  if (jobs[index] !== job) throw new Error(`job ${job.id} does not wait in its line`);
  return index;
}

const COMPACT_AT = 64;

function compact(line: Line): void {
  if (line.head === line.jobs.length) line.jobs.length = 0;
  else if (line.head < COMPACT_AT || line.head * 2 < line.jobs.length) return;
  else line.jobs.splice(0, line.head);
  line.head = 0;
}

function drop<T>(list: T[], item: T): void {
  const last = list.pop();
  if (last !== undefined && last !== item) list[list.indexOf(item)] = last;
}
