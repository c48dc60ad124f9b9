/**
 * How one device computes: its running jobs share it equally, at speed 1 alone and 0.95 in all among
 * several; its loads go on beside them. On an exclusive lane there is never more than one of either.
 */
import type { Device, Place, Waiting } from "../../core/vram/ledger.ts";
import type { TraceJob } from "./model.ts";

export interface Run {
  readonly trace: TraceJob;
  readonly job: Waiting;
  readonly place: Place;
  readonly startMs: number;
  /** The device's progress at which its work is done. */
  readonly endProgress: number;
}

export interface Load {
  readonly place: Place;
  readonly startMs: number;
  readonly endMs: number;
}

export interface Lane {
  readonly device: Device;
  readonly index: number;
  readonly runs: Run[];
  readonly loads: Load[];
  /** Milliseconds of work that each running job has got since the beginning. */
  progress: number;
  asOfMs: number;
  /** Milliseconds until then in which a job ran. */
  busyMs: number;
}

/** Total speed of several jobs on one device, compared with one alone. */
const SHARED_SPEED = 0.95;

export function createLane(device: Device, index: number): Lane {
  return { device, index, runs: [], loads: [], progress: 0, asOfMs: 0, busyMs: 0 };
}

export function addRun(lane: Lane, run: Omit<Run, "endProgress">): void {
  advance(lane, run.startMs);
  lane.runs.push({ ...run, endProgress: lane.progress + run.trace.run_ms });
}

/** When the next run or load here ends, as things stand; Infinity when there is none. */
export function nextEndMs(lane: Lane): number {
  let endMs = Infinity;
  for (const load of lane.loads) endMs = Math.min(endMs, load.endMs);
  if (lane.runs.length === 0) return endMs;
  let progress = Infinity;
  for (const { endProgress } of lane.runs) progress = Math.min(progress, endProgress);
  return Math.min(endMs, endOf(lane, progress));
}

/** Takes out the loads that have ended by then. */
export function takeLoads(lane: Lane, nowMs: number): Load[] {
  const ended = lane.loads.filter(({ endMs }) => endMs <= nowMs);
  if (ended.length > 0) keep(lane.loads, ({ endMs }) => endMs > nowMs);
  return ended;
}

/** Takes out the runs that have ended by then. */
export function takeRuns(lane: Lane, nowMs: number): Run[] {
  const ended = lane.runs.filter(({ endProgress }) => endOf(lane, endProgress) <= nowMs);
  advance(lane, nowMs);
  if (ended.length > 0) keep(lane.runs, (run) => !ended.includes(run));
  return ended;
}

function endOf(lane: Lane, endProgress: number): number {
  return lane.asOfMs + Math.max(0, endProgress - lane.progress) / speed(lane);
}

function speed({ runs }: Lane): number {
  return runs.length > 1 ? SHARED_SPEED / runs.length : 1;
}

function advance(lane: Lane, nowMs: number): void {
  if (lane.runs.length > 0) lane.busyMs += nowMs - lane.asOfMs;
  lane.progress += (nowMs - lane.asOfMs) * speed(lane);
  lane.asOfMs = nowMs;
}

function keep<T>(list: T[], wanted: (item: T) => boolean): void {
  const kept = list.filter(wanted);
  list.length = 0;
  list.push(...kept);
}
