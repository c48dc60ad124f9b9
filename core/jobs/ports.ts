/** What jobs need of the rest of the kernel; `kernel.ts` hands it over. */
import type { ErrorCode } from "../errors.ts";
import type { AudioFormat } from "../sdk/formats.ts";
import type { FileKind } from "../sdk/inputs.ts";
import type { Artifact, ArtifactBody, ArtifactOptions, InputFile } from "../sdk/job.ts";
import type { AnyCapability, Context, VramCost } from "../sdk/plugin.ts";

/** A backend that may do the job, and what the job asks of its device. */
export interface Choice {
  readonly backend: string;
  /** Undefined when it needs no GPU. */
  readonly demand?: VramCost;
}

/** The one that would be taken if all were free comes first. */
export type Choices = readonly [Choice, ...Choice[]];

/** How the work ended, as far as it teaches what such work costs. */
export type LeaseEnd = "completed" | "failed" | "out_of_memory";

export interface LeasePort {
  readonly jobId: string;
  readonly backend: string;
  readonly device?: string;
  /** Idempotent. Without an end it teaches nothing: the job was cancelled, or never began. */
  release(end?: LeaseEnd): void;
}

export interface AdmissionPort {
  /**
   * Rejects with the signal's reason, or with the GatewayError that becomes the job's: its model
   * could not be loaded, its backend's process does not start.
   */
  acquire(
    request: {
      readonly jobId: string;
      readonly keyId: string;
      /** The key's part compared with others; 1 unless said. */
      readonly keyWeight?: number;
      readonly choices: Choices;
      readonly priority: number;
      /** True for work that was running when the gateway stopped. */
      readonly resume: boolean;
      /** Monotonic milliseconds: from then on it will not be wanted any more. */
      readonly startByMs?: number;
      /** Called, perhaps more than once, when its model is on its way onto a device. */
      readonly loading?: () => void;
    },
    signal: AbortSignal,
  ): Promise<LeasePort>;
  waiting(jobId: string): { readonly ahead: number; readonly reason: string } | undefined;
}

/** What the scheduler can tell of jobs that wait, and of jobs that do not exist. */
export interface SchedulingPort {
  /** As clients read it; undefined when the job does not wait for a lease now. */
  explain(jobId: string): Promise<unknown> | unknown;
  /** What would become of this request, as clients read it. */
  dryRun(request: {
    readonly keyId: string;
    readonly keyWeight?: number;
    readonly choices: Choices;
    readonly priority: number;
    /** Monotonic milliseconds. */
    readonly startByMs?: number;
  }): Promise<unknown> | unknown;
}

/** A configured backend as a job sees it. */
export interface BackendPort {
  readonly title: string;
  capability(kind: string): AnyCapability | undefined;
  context(keyId: string): Context<unknown>;
  readonly attemptTimeoutMs: number;
  readonly stallTimeoutMs: number;
  readonly queueTimeoutMs: number;
  /** Runs plugin code so that a stray error can be traced to its backend. */
  run<T>(work: () => T): T;
  /** Whether a job that cannot be stopped may still be computing there. */
  busy(): Promise<boolean>;
  /** Ends the process that the gateway runs for it; absent when somebody else runs it. */
  stopProcess?(): Promise<void>;
}

export interface BackendsPort {
  get(name: string): BackendPort | undefined;
  /** An attempt failed there, for another reason than a limit that its client set. */
  failed(name: string, code: ErrorCode, jobId: string): void;
  /** An attempt completed there. */
  worked?(name: string): void;
}

export interface ArtifactsPort {
  put(request: {
    readonly jobId: string;
    readonly keyId: string;
    readonly body: ArtifactBody;
    readonly options: ArtifactOptions;
    readonly signal: AbortSignal;
    readonly fence: () => boolean;
    /** Sounds are stored in this format, whatever the backend made. */
    readonly format?: AudioFormat;
    /** Called when a sound has to be made into that format. */
    readonly converting?: () => void;
  }): Promise<Artifact>;
  removeOfJob(jobId: string): Promise<void>;
  /** The artifact as clients read it. */
  wire(artifact: Artifact): Record<string, unknown>;
}

/** A file on its way into a job. */
export interface Incoming {
  /** Under which the job will find it. */
  readonly id: string;
  /** Found in the bytes. */
  readonly mediaType: string;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
}

/** Bytes that came with a request, for one of its fields. */
export interface Upload {
  readonly field: string;
  readonly kind: FileKind;
  readonly name: string;
  /** What the client says they are. */
  readonly declared?: string;
  readonly body: ReadableStream<Uint8Array> | Uint8Array;
}

/** Files that come with requests; each must be attached or discarded. */
export interface FilesPort {
  /** Stores the bytes, or throws what the client gets. */
  receive(upload: Upload): Promise<Incoming>;
  /** Throws what `receive` would, and keeps nothing. */
  examine(upload: Upload): Promise<void>;
  /** An earlier file of this key, or one that came with this job; throws for all others. */
  find(
    reference: { readonly field: string; readonly kind: FileKind; readonly id: string },
    owner: { readonly keyId: string } | { readonly jobId: string },
  ): Incoming;
  /** Synchronous, inside the transaction that makes the job; throws when a file is gone. */
  attach(job: { readonly id: string; readonly keyId: string }, files: readonly Incoming[]): void;
  discard(file: Incoming): Promise<void>;
  open(id: string, job: { readonly id: string; readonly keyId: string }): InputFile | undefined;
}
