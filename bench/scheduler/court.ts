/** What the parts of the judge share: the case, and how a broken rule is charged. */
import type { Compute, Job, Service } from "./format.ts";

export interface JudgeOptions {
  readonly services: readonly Service[];
  readonly jobs: readonly Job[];
  readonly devicesMib: readonly number[];
  readonly compute: Compute;
  /** Heavy jobs (over 10 s expected) that may run at once on a device; no limit if left out. */
  readonly heavy?: number;
  readonly headroomMib?: number;
  /** How far times may be off by rounding; 0.01 ms unless told. */
  readonly toleranceMs?: number;
}

export type BrokenRule =
  /** A line that is not of the format, or names a job, service or device that is not there. */
  | "format"
  /** A job that did not run, or ran more than once. */
  | "once"
  /** A job that started before it arrived. */
  | "arrival"
  /** A job that started where its service was not resident. */
  | "residency"
  /** More jobs of a service at once than it has slots. */
  | "slots"
  /** An eviction of what is not there, still loads, or has a job running. */
  | "eviction"
  /** More resident or loading than the device holds, or a service loaded twice. */
  | "memory"
  /** More heavy jobs at once on a device than allowed. */
  | "heavy"
  /** A load that took another time than its service's. */
  | "load-time"
  /** A job whose end does not follow from its work; two things at once on a lane. */
  | "compute"
  /** A load that served nobody. */
  | "wasted";

export interface Violation {
  readonly rule: BrokenRule;
  readonly text: string;
}

/** What the parts of the judge share. */
export interface Court extends JudgeOptions {
  readonly toleranceMs: number;
  readonly jobsById: ReadonlyMap<string, Job>;
  readonly servicesByName: ReadonlyMap<string, Service>;
  charge(rule: BrokenRule, text: string): void;
}

/** A job's line beside its job. */
export interface Run {
  readonly job: Job;
  readonly device: number;
  readonly start_ms: number;
  readonly end_ms: number;
}

/** A service on a device, as the key of a map. */
export function keyOf(device: number, service: string): string {
  return `${device} ${service}`;
}
