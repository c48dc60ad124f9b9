/**
 * What a probe is: it measures one device and says so, or says why it cannot. The ledger believes
 * the probe over itself, so a probe never guesses: an old or unreadable answer is `missing`.
 */

export interface ProcessReading {
  readonly pid: number;
  readonly usedMiB: number;
  readonly name?: string;
}

/** What was measured on one device at one moment. */
export interface DeviceReading {
  readonly totalMiB: number;
  /** Whatever cannot be allocated any more, so that free = total - used. */
  readonly usedMiB: number;
  readonly uuid?: string;
  readonly product?: string;
  /** 0 to 1. */
  readonly utilisation?: number;
  /** Undefined when the tool cannot tell (containers hide pids, WDDM, a driver's "N/A"). */
  readonly processes?: readonly ProcessReading[];
  /** Monotonic milliseconds at which the reading arrived. */
  readonly atMs: number;
}

/** `missing`: tool not installed, device vanished, driver reset, output unreadable or too old. */
export type ProbeState =
  | { readonly kind: "reading"; readonly reading: DeviceReading }
  | { readonly kind: "missing"; readonly reason: string };

export interface Probe {
  readonly kind: "nvidia-smi" | "amd-smi" | "rocm-smi" | "command" | "simulated" | "declared";
  /** The newest state; a reading older than the stale limit becomes `missing` with the reason. */
  state(): ProbeState;
  /**
   * A reading taken after this call; rejects with the signal's reason, or with a ProbeError when a
   * look after this call failed. A looping tool needs up to two intervals for it.
   */
  fresh(signal: AbortSignal): Promise<DeviceReading>;
  /** Called after every new state. Returns how to stop listening. */
  onChange(listener: () => void): () => void;
  close(): Promise<void>;
}

/** The tools that list the devices of a machine. */
export type Tool = "nvidia-smi" | "amd-smi" | "rocm-smi";

/** How one device of the configuration is measured. */
export interface DeviceProbeSettings {
  readonly probe: "auto" | Tool | "simulated" | "none";
  /** UUID, PCI bus id or index as text; without it the devices are taken in order. */
  readonly id?: string;
  /** Size of the device where no tool tells it. */
  readonly memoryMiB?: number;
  /** argv of an own probe command; it replaces `probe`. */
  readonly command?: readonly string[];
  /** argv prefix that runs the tool on another host, for example [ssh, -T, studio2]. */
  readonly via?: readonly string[];
  readonly intervalMs: number;
  /** Folder of a simulated device. */
  readonly simulated?: string;
}

/** Times that the tests make short. */
export interface ProbeLimits {
  /** Age at which a reading is no longer believed, and silence at which a tool is restarted. */
  readonly staleMs?: number;
  /** Silence allowed before a tool's first answer: a cold driver takes seconds for each card. */
  readonly firstMs: number;
  /** How long opening waits for first answers. */
  readonly openMs: number;
  readonly backOffMs: number;
  readonly maxBackOffMs: number;
}

export const PROBE_LIMITS: ProbeLimits = {
  firstMs: 30_000,
  openMs: 5_000,
  backOffMs: 250,
  maxBackOffMs: 30_000,
};

/** A look at a device that failed; the message says why, in words for the operator. */
export class ProbeError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ProbeError";
  }
}

/** Five missed looks, but never so short that one slow answer of the driver counts as an outage. */
export function staleAfterMs(intervalMs: number, limits: ProbeLimits): number {
  return limits.staleMs ?? Math.max(5 * intervalMs, 5_000);
}
