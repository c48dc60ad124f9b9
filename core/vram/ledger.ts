/**
 * What we believe of the devices: who holds which memory, who waits for it. The scheduler is the
 * only writer; policies read it. Sizes are MiB, times are milliseconds of one monotonic clock.
 */

/** One GPU, or a declared pool of memory. */
export interface Device {
  /** Its place among all devices, from 0. */
  readonly index: number;
  readonly name: string;
  /** MiB that may be used in all: the total less the headroom; Infinity when nobody knows. */
  limitMiB: number;
  /** MiB of processes that nobody here manages, as far as the probe tells. */
  foreignMiB: number;
  /** lane: one thing at a time, a job or a load. shared: residents compute side by side. */
  compute: "shared" | "lane";
  /** Heavy jobs that may compute at once. */
  readonly heavyLimit: number;
  /** Resident, loading and leaving models, and the working memory of running jobs. */
  heldMiB: number;
  /** The part of `heldMiB` that is on its way out. */
  leavingMiB: number;
  /** Reserved for models whose victims are still leaving, and kept for their first jobs. */
  promisedMiB: number;
  running: number;
  heavyRunning: number;
  /** Models on their way in: reserved or loading. */
  loading: number;
  /** Every place here that is not absent. */
  readonly places: Place[];
  /** GDSF's clock: the value of the last victim. */
  inflation: number;
  /** Job starts so far; the time scale in which use counts fade. */
  starts: number;
  /** An overdue job that goes next here, whatever else waits. */
  reservation: Reservation | undefined;
  /** No other overdue job gets a reservation before this. */
  reserveAfterMs: number;
  /** Heavy work that ends when somebody says so, at no expected time: external leases. */
  openEnded: number;
  /** When the running heavy job is expected to end. */
  heavyUntilMs: number;
  /** Until then the running short jobs may be expected to end. */
  lightUntilMs: number;
}

/** One server: a configured backend. Its slots count over all devices together. */
export interface Server {
  readonly name: string;
  /** Jobs that it takes at once. */
  slots: number;
  running: number;
  /** Whether it can work, or be started. */
  available: boolean;
  /** Whether its models can come before a job does; else what is loaded ahead is on paper only. */
  readonly loadsAhead: boolean;
  /** What leaves when one of its models is told to: that model, or everything it holds. */
  frees: "model" | "everything";
  readonly places: Place[];
}

export type PlaceState = "absent" | "reserved" | "loading" | "resident" | "leaving";

/** One model of one server on one device: where jobs of a group can run. */
export interface Place {
  readonly server: Server;
  readonly device: Device;
  readonly model: string;
  state: PlaceState;
  residentMiB: number;
  /** Expected duration of a load. */
  loadMs: number;
  /** When the load under way is expected to end. */
  loadedAtMs: number;
  running: number;
  /** The heavy ones of them. */
  heavyRunning: number;
  /** Jobs started since its load. */
  served: number;
  /** Working memory that is kept for the first of them. */
  keptMiB: number;
  /** May not be evicted: an operator's or a lease's. */
  pinned: boolean;
  /** It did not leave, or did not load, when told to; it is not told again before this. */
  stuckUntilMs: number;
  /** How often it was used lately, as of `usedAtStart` starts of the device. */
  uses: number;
  usedAtStart: number;
  lastUsedMs: number;
  /** GDSF: what it is worth to keep it. */
  value: number;
  /** The jobs that can run here. */
  readonly groups: Group[];
}

/** Waiting jobs that can run in the same places: the same model of the same servers. */
export interface Group {
  readonly name: string;
  readonly places: readonly Place[];
  /** Those that are not empty. */
  readonly lines: Line[];
  size: number;
  /** Sums over the waiting jobs. */
  weight: number;
  runMs: number;
}

/** Waiting jobs of one group, key and priority, the most urgent first. */
export interface Line {
  readonly share: Share;
  readonly priority: number;
  readonly jobs: Waiting[];
  /** Index of the first job: what stands before it has left. */
  head: number;
  weight: number;
  runMs: number;
}

/** What one API key has used of what it may. */
export interface Share {
  readonly key: string;
  /** Its part compared with other keys. */
  readonly weight: number;
  /** Predicted milliseconds of device time, loads included, divided by the weight. */
  usedMs: number;
  waiting: number;
}

/** A job that waits for a lease. */
export interface Waiting {
  readonly id: string;
  /** Counts up: the order of arrival. */
  readonly seq: number;
  readonly arrivedMs: number;
  readonly priority: number;
  /** What its wait counts, by its priority. */
  readonly weight: number;
  /** Expected run time, without load. */
  readonly runMs: number;
  readonly workingMiB: number;
  /** Expected to compute for long: at most `heavyLimit` of these per device. */
  readonly heavy: boolean;
  /** From here on it is overdue. */
  readonly urgentAtMs: number;
  readonly group: Group;
  readonly line: Line;
}

/** A promise that a job goes next on a device. */
export interface Reservation {
  readonly job: Waiting;
  readonly place: Place;
  /** They take no new jobs, so that they become idle and can leave. */
  readonly victims: readonly Place[];
  /** For an overdue job; else only until its working memory is free. */
  readonly overdue: boolean;
}

/** MiB that nobody holds and nobody was promised; negative when others took what we counted on. */
export function freeMiB(device: Device): number {
  return (
    device.limitMiB - device.foreignMiB - device.heldMiB + device.leavingMiB - device.promisedMiB
  );
}

/** MiB that are physically there now: what is leaving has not left. */
export function physicalMiB(device: Device): number {
  return device.limitMiB - device.foreignMiB - device.heldMiB;
}

export function headOf(line: Line): Waiting {
  return line.jobs[line.head] as Waiting;
}
