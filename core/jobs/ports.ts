/** What jobs need of the rest of the kernel; `kernel.ts` hands it over. */
import type { ErrorCode } from "../errors.ts";
import type { Artifact, ArtifactBody, ArtifactOptions } from "../sdk/job.ts";
import type { AnyCapability, Context, VramCost } from "../sdk/plugin.ts";

export interface LeasePort {
  readonly jobId: string;
  readonly device?: string;
  release(): void;
}

export interface AdmissionPort {
  acquire(
    request: {
      readonly jobId: string;
      readonly backend: string;
      readonly demand?: VramCost;
      readonly priority: number;
      readonly resume: boolean;
    },
    signal: AbortSignal,
  ): Promise<LeasePort>;
  waiting(jobId: string): { readonly ahead: number; readonly reason: string } | undefined;
}

/** A configured backend as a job sees it. */
export interface BackendPort {
  readonly title: string;
  capability(kind: string): AnyCapability | undefined;
  context(keyId: string): Context<unknown>;
  /** What the request asks of the GPU; undefined when it needs none. */
  demand(kind: string, input: unknown): VramCost | undefined;
  readonly attemptTimeoutMs: number;
  readonly stallTimeoutMs: number;
  readonly queueTimeoutMs: number;
  /** Runs plugin code so that a stray error can be traced to its backend. */
  run<T>(work: () => T): T;
  /** Whether a job that cannot be stopped may still be computing there. */
  busy(): Promise<boolean>;
}

export interface BackendsPort {
  get(name: string): BackendPort | undefined;
  /** An infrastructure failure was seen: the health check should look now. */
  failed(name: string, code: ErrorCode): void;
}

export interface ArtifactsPort {
  put(request: {
    readonly jobId: string;
    readonly keyId: string;
    readonly body: ArtifactBody;
    readonly options: ArtifactOptions;
    readonly signal: AbortSignal;
    readonly fence: () => boolean;
  }): Promise<Artifact>;
  removeOfJob(jobId: string): Promise<void>;
  /** The artifact as clients read it. */
  wire(artifact: Artifact): Record<string, unknown>;
}
