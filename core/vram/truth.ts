/**
 * What the probe measures, held against what we believe. Pure.
 *
 * The one promise: everything believed and `foreignMiB` together are never less than what is used,
 * so that the ledger grants no memory that is taken, whoever took it. What a doubt costs is room
 * that stays empty, never a device that overflows.
 *
 * - A backend whose processes use more than was believed is charged the rest as foreign. One that
 *   uses less keeps its claim: it may be about to use it.
 * - Backends whose processes are the same (two names of one server) are taken together.
 * - A process of nobody is a shadow. So is what no process explains: the driver, hidden processes.
 * - What no process explains, beyond what a driver may need, may also be processes of ours that the
 *   tool does not show: it covers what known backends were believed to hold and are not seen to.
 * - Backends whose processes nobody knows are covered by what then belongs to nobody: hidden memory
 *   first, then the largest processes. Only the rest of that is foreign.
 * - Without figures per process, foreign is what is used beyond everything believed.
 */
import type { DeviceReading, ProcessReading } from "./probes/probe.ts";

/** What we believe of one backend, or one external lease, on the device. */
export interface Belief {
  readonly backend: string;
  /** Its processes when the reading was taken; [] when nobody knows them. */
  readonly pids: readonly number[];
  readonly residentMiB: number;
  /** Of running jobs. */
  readonly workingMiB: number;
  /** Models that are there, arriving or leaving. */
  readonly models: readonly string[];
  /** Jobs that compute. */
  readonly running: number;
  /** Nothing comes or goes: no load, no eviction, no model that only its first job brings in. */
  readonly settled: boolean;
}

export interface Shadow {
  /** Null for what cannot be told to a process. */
  readonly pid: number | null;
  readonly name: string;
  readonly usedMiB: number;
}

export interface Truth {
  /** To be counted as foreign: the shadows, and what backends use beyond what was believed. */
  readonly foreignMiB: number;
  /** What nobody here manages, the largest process first, the part without a process last. */
  readonly shadows: readonly Shadow[];
  /** By backend, where its own processes are known and shown. */
  readonly measured: ReadonlyMap<string, number>;
  /** There were figures per process, and they explain what is used but for a driver's share. */
  readonly precise: boolean;
}

/** A measured size, for the cost book. */
export interface Fact {
  readonly backend: string;
  readonly kind: "resident" | "working";
  readonly model: string;
  readonly mib: number;
}

/** Backends with the same processes, and what they hold together. */
interface Pool {
  readonly backends: string[];
  readonly pids: Set<number>;
  claimMiB: number;
}

/**
 * What a driver and its contexts may use without any process: 512 MiB, on large devices 2 %. (A
 * 3090 with 24,576 MiB reserves 450; see the captures named in probes/parse-nvidia.ts.)
 */
const DRIVER_MIB = 512;
const DRIVER_SHARE = 0.02;
const HIDDEN = "driver and hidden processes";
const UNKNOWN = "unknown process";
/** Less than this is no model. */
const NOISE_MIB = 64;

export function reconcile(reading: DeviceReading, beliefs: readonly Belief[]): Truth {
  const usedMiB = size(reading.usedMiB);
  if (!reading.processes) {
    const foreignMiB = Math.max(0, usedMiB - sum(beliefs.map(claimOf)));
    const shadows = without([{ pid: null, name: HIDDEN, usedMiB: foreignMiB }]);
    return { foreignMiB, shadows, measured: new Map(), precise: false };
  }
  const processes = perPid(reading.processes);
  const pools = poolsOf(beliefs);
  const blindMiB = sum(beliefs.filter(({ pids }) => pids.length === 0).map(claimOf));
  const strangers = new Map(processes);
  let excessMiB = 0;
  let unseenMiB = 0;
  const seen = pools.map((pool) => {
    const own = [...pool.pids].flatMap((pid) => processes.get(pid) ?? []);
    const ownMiB = sum(own.map((it) => it.usedMiB));
    for (const pid of pool.pids) strangers.delete(pid);
    excessMiB += Math.max(0, ownMiB - pool.claimMiB);
    unseenMiB += Math.max(0, pool.claimMiB - ownMiB);
    return { pool, ownMiB, shown: own.length > 0 };
  });

  const shownMiB = sum([...processes.values()].map((it) => it.usedMiB));
  const hiddenMiB = Math.max(0, usedMiB - shownMiB);
  const driverMiB = driverShareOf(reading);
  const precise = hiddenMiB <= driverMiB;
  // The driver's own share never stands for a model, which may still be on its way in.
  const hidden = {
    driverMiB: Math.min(hiddenMiB, driverMiB),
    beyondMiB: Math.max(0, hiddenMiB - driverMiB - unseenMiB),
  };
  const shadows = shadowsOf([...strangers.values()], hidden, blindMiB);
  const measured = new Map<string, number>();
  for (const { pool, ownMiB, shown } of seen) {
    const [only, ...others] = pool.backends;
    // Not shown on a list that is not whole says nothing; a shared process is nobody's alone.
    if (only !== undefined && others.length === 0 && (shown || precise)) measured.set(only, ownMiB);
  }
  const foreignMiB = excessMiB + sum(shadows.map((it) => it.usedMiB));
  return { foreignMiB, shadows, measured, precise };
}

/**
 * What these processes use, the backend's now and those it had before. Undefined when nobody can
 * tell: without processes, without a list, and when none is on a list that has holes. On a whole
 * list that is a 0, as of a server whose worker has just ended.
 */
export function ownUsedMiB(reading: DeviceReading, pids: readonly number[]): number | undefined {
  if (!reading.processes || pids.length === 0) return undefined;
  const shown = [...perPid(reading.processes).values()];
  const own = shown.filter(({ pid }) => pid !== null && pids.includes(pid));
  const hiddenMiB = size(reading.usedMiB) - sum(shown.map(({ usedMiB }) => usedMiB));
  if (own.length === 0 && hiddenMiB > driverShareOf(reading)) return undefined;
  return sum(own.map(({ usedMiB }) => usedMiB));
}

/** What the others' processes leave of what is used: no more can belong to anybody else. */
export function leftBesideMiB(reading: DeviceReading, others: readonly number[]): number {
  const theirs = [...perPid(reading.processes ?? []).values()].filter(
    ({ pid }) => pid !== null && others.includes(pid),
  );
  return Math.max(0, size(reading.usedMiB) - sum(theirs.map(({ usedMiB }) => usedMiB)));
}

/**
 * What the measurement teaches of sizes. Only from a backend that holds exactly one model, alone
 * with it or with one running job, while nothing comes or goes; and only from its own processes:
 * those it is known to have, or the only process of a device of which it is the only user. Without
 * a whole list of processes nobody can exclude a stranger, so nothing is learned. Processes that
 * are known too late make a size too small: `pids` must be as new as the reading.
 *
 * A resident size contains the context and what the server keeps of earlier jobs. A working size is
 * what was in use at this moment; the peak is the largest of a run.
 */
export function learn(reading: DeviceReading, beliefs: readonly Belief[]): Fact[] {
  const truth = reconcile(reading, beliefs);
  if (!truth.precise) return [];
  return beliefs.flatMap((belief): Fact[] => {
    const { backend, models, running, settled, residentMiB } = belief;
    const [model, ...others] = models;
    if (!settled || model === undefined || others.length > 0) return [];
    const ownMiB = truth.measured.get(backend) ?? aloneMiB(belief, reading, beliefs);
    if (ownMiB === undefined || ownMiB < NOISE_MIB) return [];
    if (running === 0) return [{ backend, kind: "resident", model, mib: ownMiB }];
    if (running > 1) return [];
    return [{ backend, kind: "working", model, mib: Math.max(0, ownMiB - residentMiB) }];
  });
}

/** The only process of the device, when only this backend can be it. */
function aloneMiB(
  { pids }: Belief,
  { processes = [] }: DeviceReading,
  beliefs: readonly Belief[],
): number | undefined {
  const [only, ...others] = perPid(processes).values();
  const alone = pids.length === 0 && beliefs.length === 1 && others.length === 0;
  return alone ? only?.usedMiB : undefined;
}

/** What belongs to nobody, less what it covers of backends whose processes are not known. */
function shadowsOf(
  strangers: readonly Shadow[],
  hidden: { readonly driverMiB: number; readonly beyondMiB: number },
  blindMiB: number,
): Shadow[] {
  let leftMiB = blindMiB;
  const uncovered = (mib: number): number => {
    const coveredMiB = Math.min(leftMiB, mib);
    leftMiB -= coveredMiB;
    return mib - coveredMiB;
  };
  const hiddenMiB = hidden.driverMiB + uncovered(hidden.beyondMiB);
  const processes = strangers
    .toSorted(bySize)
    .map((shadow) => ({ ...shadow, usedMiB: uncovered(shadow.usedMiB) }))
    .toSorted(bySize);
  return without([...processes, { pid: null, name: HIDDEN, usedMiB: hiddenMiB }]);
}

function bySize(a: Shadow, b: Shadow): number {
  return b.usedMiB - a.usedMiB;
}

function without(shadows: readonly Shadow[]): Shadow[] {
  return shadows.filter(({ usedMiB }) => usedMiB > 0);
}

/** Backends that share a process, directly or by way of others, in one pool. */
function poolsOf(beliefs: readonly Belief[]): Pool[] {
  let pools: Pool[] = [];
  for (const belief of beliefs) {
    if (belief.pids.length === 0) continue;
    const pool: Pool = {
      backends: [belief.backend],
      pids: new Set(belief.pids),
      claimMiB: claimOf(belief),
    };
    const same = pools.filter(({ pids }) => belief.pids.some((pid) => pids.has(pid)));
    for (const other of same) {
      pool.backends.push(...other.backends);
      for (const pid of other.pids) pool.pids.add(pid);
      pool.claimMiB += other.claimMiB;
    }
    pools = [...pools.filter((other) => !same.includes(other)), pool];
  }
  return pools;
}

function perPid(processes: readonly ProcessReading[]): Map<number, Shadow> {
  const found = new Map<number, Shadow>();
  for (const { pid, usedMiB, name } of processes) {
    const before = found.get(pid);
    const sumMiB = size(usedMiB) + (before?.usedMiB ?? 0);
    found.set(pid, { pid, name: name ?? before?.name ?? UNKNOWN, usedMiB: sumMiB });
  }
  return found;
}

function driverShareOf({ totalMiB }: DeviceReading): number {
  return Math.max(DRIVER_MIB, DRIVER_SHARE * size(totalMiB));
}

function claimOf({ residentMiB, workingMiB }: Belief): number {
  return size(residentMiB) + size(workingMiB);
}

/** A figure that makes no sense counts as nothing. */
function size(mib: number): number {
  return Number.isFinite(mib) && mib > 0 ? mib : 0;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, it) => total + it, 0);
}
