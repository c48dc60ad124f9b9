/** What goes into the simulator and what comes out of it, as its files have it. */

export interface Service {
  readonly name: string;
  readonly vram_mib: number;
  readonly load_ms: number;
  /** Its expected run time: all that the scheduler may know in advance. */
  readonly run_ms: number;
  /** Jobs of it that may run at once, on all devices together; 1 unless said. */
  readonly slots?: number;
}

export interface TraceJob {
  readonly id: string;
  readonly at_ms: number;
  readonly service: string;
  /** Its true work, known to the scheduler only when it has ended. */
  readonly run_ms: number;
  readonly key?: string;
  /** 0 to 9; 5 unless said. */
  readonly priority?: number;
}

export interface JobOutcome {
  readonly type: "job";
  readonly id: string;
  readonly device: number;
  readonly start_ms: number;
  readonly end_ms: number;
}

export interface LoadOutcome {
  readonly type: "load";
  readonly service: string;
  readonly device: number;
  readonly start_ms: number;
  readonly end_ms: number;
}

export interface EvictOutcome {
  readonly type: "evict";
  readonly service: string;
  readonly device: number;
  readonly at_ms: number;
}

export type Outcome = JobOutcome | LoadOutcome | EvictOutcome;

export type Compute = "shared" | "lane";
