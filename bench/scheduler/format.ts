/**
 * The lines of the simulator's files, as anybody reads them: services, a trace's jobs, a result's
 * events. Written anew here, because a yardstick shares no code with what it measures.
 */

/** A service: a model that must be resident on a device before its jobs may run. */
export interface Service {
  readonly name: string;
  readonly vram_mib: number;
  readonly load_ms: number;
  /** The expected run time: all that a scheduler may know in advance. */
  readonly run_ms: number;
  /** Jobs of it that may run at once on one device, 1 unless told. */
  readonly slots?: number;
}

export interface Job {
  readonly id: string;
  readonly at_ms: number;
  readonly service: string;
  /** The true work, which a scheduler learns only when the job ends. */
  readonly run_ms: number;
  readonly key?: string;
  readonly priority?: number;
}

export interface JobLine {
  readonly type: "job";
  readonly id: string;
  readonly device: number;
  readonly start_ms: number;
  readonly end_ms: number;
}

export interface LoadLine {
  readonly type: "load";
  readonly service: string;
  readonly device: number;
  readonly start_ms: number;
  readonly end_ms: number;
}

export interface EvictLine {
  readonly type: "evict";
  readonly service: string;
  readonly device: number;
  readonly at_ms: number;
}

export interface SummaryLine {
  readonly type: "summary";
  readonly [name: string]: unknown;
}

export type ResultLine = JobLine | LoadLine | EvictLine | SummaryLine;

/** `lane`: one job or load at a time; `shared`: jobs share the processor, loads run beside. */
export type Compute = "lane" | "shared";

/** A service whose expected run time is above this is heavy; the others are interactive. */
export const HEAVY_MS = 10_000;

/** What a device's jobs get together when more than one of them runs. */
export const SHARED_SPEED = 0.95;

/** Reads a file of one JSON value per line; empty lines are passed over. */
export function parseLines<T>(text: string): T[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => JSON.parse(line) as T);
}

export function formatLines(lines: readonly unknown[]): string {
  return `${lines.map((line) => JSON.stringify(line)).join("\n")}\n`;
}

/** The services by their names; a name that is not there is the caller's mistake. */
export function serviceNamed(services: readonly Service[], name: string): Service {
  const found = services.find((service) => service.name === name);
  if (found === undefined) {
    throw new Error(`No service is called "${name}"; there are: ${names(services)}.`);
  }
  return found;
}

function names(services: readonly Service[]): string {
  return services.map(({ name }) => name).join(", ");
}
