/** What a forecast is asked, and what it answers. */

import type { Group, Place, Waiting } from "../ledger.ts";
import type { Policy, View } from "../policy/policy.ts";
import type { Running, SchedulerSettings } from "../scheduler.ts";
import type { Sharing } from "./clock.ts";

/** A job that computes now. */
export interface RunningJob extends Running {
  readonly startedAtMs: number;
  /** Work done so far, if the caller counts the sharing; the time since its start unless said. */
  readonly workedMs?: number;
  /** It is the first after a load. */
  readonly isFirst?: boolean;
}

/** A job that nobody has submitted. */
export interface WhatIf {
  readonly group: Group;
  readonly key: string;
  readonly keyWeight: number;
  readonly priority: number;
  /** What the policy counts with. */
  readonly runMs: number;
  /** Duration to assume; undefined when there is not enough evidence. */
  readonly durationMs: number | undefined;
  readonly workingMiB: number;
  /** On the scheduler's clock, as in an arrival. */
  readonly startByMs?: number;
}

export interface ForecastInput {
  /** The live ledger; it is only read. */
  readonly view: View;
  readonly nowMs: number;
  readonly policy: Policy;
  readonly settings: SchedulerSettings;
  /** All that hold a slot or memory, leases of other programs too: what is missing never ends. */
  readonly running: readonly RunningJob[];
  /**
   * Duration to assume, alone on its device; undefined without enough evidence. `isFirst`: it is
   * the first job after a load, and brings the model along where the server loads by itself.
   */
  runOf(job: Waiting, place: Place, isFirst: boolean): number | undefined;
  loadOf(place: Place): number | undefined;
  /** How long a model takes to leave, or still takes if it is leaving; no time unless said. */
  leaveOf?(place: Place): number | undefined;
  /** What is left of a run; undefined when it cannot tell. Then `runOf` less the time so far. */
  restOf?(job: Waiting, elapsedMs: number): number | undefined;
  /** A waiting or running job's id, or a job that is not there. */
  readonly watch: string | WhatIf;
  /** Gives up when more jobs wait than this. */
  readonly limitJobs: number;
  readonly sharing?: Sharing;
}

export interface ForecastMove {
  readonly backend: string;
  readonly model: string;
  readonly device: string;
  /** From now; of a load, its begin. */
  readonly atMs: number;
  /** For the watched job's model, where the job will run. */
  readonly own: boolean;
}

export type Forecast =
  | {
      readonly kind: "starts";
      /** From now; 0 for a job that runs. */
      readonly atMs: number;
      /** From now; undefined when the start is known and the duration is not. */
      readonly endsAtMs: number | undefined;
      /** Ids of the jobs that start before it, in the order of dispatch. */
      readonly ahead: readonly string[];
      /** Until it starts. */
      readonly loads: readonly ForecastMove[];
      readonly evictions: readonly ForecastMove[];
      readonly device: string;
      readonly backend: string;
      readonly model: string;
    }
  | { readonly kind: "unknown"; readonly reason: string }
  | { readonly kind: "never"; readonly reason: string };
