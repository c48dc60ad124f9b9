/** Every event of the in-process bus, with its content. */

export type BackendStatus = "starting" | "ready" | "busy" | "degraded" | "down";

/** One entry of a job's event log; `seq` starts at 1 and has no gap. */
export interface JobEvent {
  readonly jobId: string;
  readonly seq: number;
  readonly type: JobEventType;
  readonly data: Readonly<Record<string, unknown>>;
  /** Wall-clock milliseconds; never goes back within a job. */
  readonly atMs: number;
}

export type JobEventType =
  | "job.created"
  | "job.phase"
  | "job.started"
  | "job.progress"
  | "job.preview"
  | "job.delta"
  | "job.requeued"
  | "job.completed"
  | "job.failed"
  | "job.cancelled";

export type EventMap = {
  /** After its commit. */
  "job.event": JobEvent;
  "backend.changed": {
    readonly backend: string;
    readonly status: BackendStatus;
    readonly reason?: string;
  };
  "key.revoked": { readonly keyId: string };
  "gateway.draining": Record<string, never>;
};
