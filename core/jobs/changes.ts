/** What can be asked of the job store, and what it answers. */
import type { JobEvent, JobEventType } from "../events/mod.ts";
import type { JobError, JobRow } from "./row.ts";
import type { Phase, Status } from "./state.ts";

export interface JobFilter {
  /** Undefined: everybody's. */
  readonly keyId?: string;
  readonly status?: readonly Status[];
  readonly capability?: string;
  readonly backend?: string;
  readonly tag?: string;
  readonly sinceMs?: number;
  /** Only jobs older than this id. */
  readonly after?: string;
  readonly limit: number;
}

/** A committed change: the row after it and the event that tells it. */
export interface Change {
  readonly row: JobRow;
  readonly event: JobEvent;
}

/** What an earlier request with the same Idempotency-Key left. */
export type Replay =
  | { readonly kind: "replayed"; readonly row: JobRow }
  | { readonly kind: "mismatch"; readonly row?: undefined };

export type Insertion = { readonly kind: "inserted"; readonly change: Change } | Replay;

export type Ending =
  | { readonly status: "completed"; readonly epoch: number; readonly output: unknown }
  | { readonly status: "failed"; readonly epoch: number | undefined; readonly error: JobError };

export interface Requeue {
  readonly reason: string;
  readonly runAfterMs: number;
  /** Whether the attempt counts. */
  readonly counted: boolean;
  /** False after the death of the gateway's process: `crashes` is kept then. */
  readonly orderly: boolean;
  /** Forget the steps: the backend's side of the failed attempt is not to be adopted. */
  readonly forgetSteps: boolean;
}

export interface Entry {
  readonly type: JobEventType;
  readonly data: Record<string, unknown>;
  readonly phase?: Phase;
  readonly progress?: JobRow["progress"];
}
