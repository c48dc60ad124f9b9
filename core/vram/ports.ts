/** What the VRAM scheduler needs of the rest of the kernel; `kernel.ts` hands it over. */
import type { Resident } from "../sdk/plugin.ts";

/** A configured backend, as the scheduler may use it. */
export interface BackendPort {
  readonly name: string;
  /** The server's name as people write it. */
  readonly title: string;
  readonly device: string;
  /** Jobs sent to it at once. */
  readonly concurrency: number;
  /** Whether its last health check lets work be sent there. */
  usable(): boolean;
  /** Whether it said that it computes, when it was last asked; undefined when it cannot tell. */
  busy(): boolean | undefined;
  /** What leaves when one model is told to go. */
  readonly frees: "model" | "everything";
  /** Weights that it says it holds; absent when it cannot tell. */
  readonly residents?: (signal: AbortSignal) => Promise<readonly Resident[]>;
  /** Brings a model onto the device; absent when it loads with the first request. */
  readonly load?: (model: string, signal: AbortSignal) => Promise<void>;
  /** Makes a model leave; absent when only its process's end does. */
  readonly free?: (model: string, signal: AbortSignal) => Promise<void>;
  /** Absent when somebody else starts and stops it. */
  readonly process?: ProcessPort;
  /** Whether processes hold memory there that end with the jobs they work on. */
  readonly jobsHold?: () => boolean;
  /** Processes on this machine that are it, as far as anybody can tell; [] when nobody can. */
  pids(): Promise<readonly number[]>;
}

/** A backend's own process, supervised by the gateway. */
export interface ProcessPort {
  running(): boolean;
  /** Its state on the wire. */
  describe(): { readonly state: string; readonly [detail: string]: unknown };
  /** Settles when the server is ready; only an operator's start ends a crash loop. */
  start(signal: AbortSignal, cause?: "operator" | "demand"): Promise<void>;
  /** Settles when nothing of it is left. */
  stop(signal: AbortSignal): Promise<void>;
  restart(signal: AbortSignal): Promise<void>;
  /** Nothing computes there: it may be stopped when that lasts. */
  busy(busy: boolean): void;
}
