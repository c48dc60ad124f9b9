/** The words of the cost book: what is asked, what is answered, what is observed. */

/** The part of a request that decides what it costs. */
export interface CostKey {
  readonly backend: string;
  readonly model: string;
  /** `sizeBucket` of the request's size; 0 when the plugin tells none. */
  readonly bucket: number;
}

/** What the plugin or the configuration declares for one request, before anything was measured. */
export interface Prior {
  readonly residentMiB: number;
  readonly workingMiB: number;
  readonly loadMs?: number;
  readonly runMs?: number;
}

/** What the operator has fixed; wins over everything that is measured. */
export type Override = Partial<Pick<Prior, "residentMiB" | "workingMiB" | "loadMs" | "runMs">>;

/** How many measurements stand behind each figure; 0: it is the prior, or borrowed. */
export interface Samples {
  readonly resident: number;
  readonly working: number;
  readonly load: number;
  readonly run: number;
}

export interface Estimate {
  /** Whole MiB, rounded up. */
  readonly residentMiB: number;
  /** Whole MiB, rounded up. */
  readonly workingMiB: number;
  /** Expected, that is the mean. */
  readonly loadMs: number;
  /** Expected, that is the mean. */
  readonly runMs: number;
  /** Quantiles are measured, never guessed: undefined below 5 samples of this very bucket. */
  readonly runP50Ms?: number;
  readonly runP90Ms?: number;
  readonly loadP90Ms?: number;
  readonly samples: Samples;
  /** Of the memory. `learned`: at least one measurement takes part in it. */
  readonly source: "declared" | "learned" | "operator";
}

export type Observation =
  /** The probe saw what the model holds while it is resident and idle. */
  | { readonly kind: "resident"; readonly key: CostKey; readonly mib: number }
  /** The probe saw this peak on top of the resident part, in a run that ended well. */
  | { readonly kind: "working"; readonly key: CostKey; readonly mib: number }
  | { readonly kind: "load"; readonly key: CostKey; readonly ms: number }
  /** A run on a model that was resident: the caller takes the load out or does not report it. */
  | { readonly kind: "run"; readonly key: CostKey; readonly ms: number }
  | {
      readonly kind: "out_of_memory";
      readonly key: CostKey;
      /** Resident and working together; in a load, the resident part. */
      readonly claimedMiB: number;
      /** On the same scale as `claimedMiB`. */
      readonly observedPeakMiB?: number;
      /** `run` unless said: what is raised is the working memory of the bucket. */
      readonly during?: "load" | "run";
    };

/** What is known of one key, for people. A figure without a measurement is absent. */
export interface CostEntry extends CostKey {
  readonly residentMiB?: number;
  readonly workingMiB?: number;
  readonly loadMs?: number;
  readonly loadP90Ms?: number;
  readonly runMs?: number;
  readonly runP50Ms?: number;
  readonly runP90Ms?: number;
  /** Resident and working together claim at least this, because the device ran out of memory. */
  readonly outOfMemoryFloorMiB?: number;
  readonly samples: Samples;
  /** Wall clock of the newest observation. */
  readonly updatedAtMs: number;
}

/** 16 TiB: more than any device has, so that one absurd reading cannot overflow a sum. */
export const MAX_MIB = 16 * 1024 * 1024;
/** 7 days: longer than any job may run. */
export const MAX_MS = 7 * 86_400_000;
