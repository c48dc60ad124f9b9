/** Every event of the in-process bus, with its content. */

/** stopped: the gateway runs its process and starts it with the next job. */
export type BackendStatus = "starting" | "ready" | "busy" | "degraded" | "down" | "stopped";

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

interface ModelOnDevice {
  readonly backend: string;
  readonly model: string;
  readonly device: string;
}

export type EventMap = {
  /** After its commit. */
  "job.event": JobEvent;
  "backend.changed": {
    readonly backend: string;
    readonly status: BackendStatus;
    readonly reason?: string;
  };
  /** The gateway has begun to bring a model onto a device. */
  "vram.loading": ModelOnDevice;
  "vram.loaded": ModelOnDevice & { readonly ms: number };
  "vram.load_failed": ModelOnDevice & { readonly reason: string };
  /** Models of one backend were told to leave; what the probe then saw. */
  "vram.reclaimed": {
    readonly backend: string;
    readonly device: string;
    readonly models: readonly string[];
    readonly freed: boolean;
    readonly expectedMiB: number;
    /** Null where nothing is measured. */
    readonly actualMiB: number | null;
    readonly attempts: readonly {
      readonly verb: string;
      readonly believed: boolean;
      readonly expectedMiB: number;
      readonly actualMiB: number | null;
      readonly durationMs: number;
      readonly error?: string;
    }[];
  };
  "key.revoked": { readonly keyId: string };
  "gateway.draining": Record<string, never>;
};
