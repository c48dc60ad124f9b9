import type { Scope } from "./scopes.ts";

/** Who asks: the API key behind a request. */
export interface Principal {
  /** Public id of the key: 8 characters, safe to log. */
  readonly keyId: string;
  readonly name: string;
  /** With everything that they imply. */
  readonly scopes: ReadonlySet<Scope>;
  readonly limits: KeyLimits;
  /** Wall clock; undefined when the key does not expire. */
  readonly expiresAtMs?: number | undefined;
}

/** 0 means unlimited. */
export interface KeyLimits {
  readonly requestsPerMinute: number;
  /** Jobs of this key that may be pending or running at once. */
  readonly activeJobs: number;
  /** Its part of the GPUs compared with other keys that wait, 1 to 100; 1 when absent. */
  readonly gpuWeight?: number;
}
