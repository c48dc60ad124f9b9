/** What `GET /jobs/{id}/explain` and `?dry_run=true` answer, in the words of the wire. */

import type { Forecast, ForecastMove } from "../forecast/input.ts";
import type { Explanation, PlaceExplanation } from "./explain.ts";
import type { Leaver, WaitsFor, Where } from "./waits.ts";

/** From now, in milliseconds. */
export interface Moment {
  readonly p50_ms: number;
  /** An upper estimate: everything before it takes as long as its slowest tenth. */
  readonly p90_ms: number;
}

export interface Eta {
  /** Null rather than a guess. */
  readonly start: Moment | null;
  readonly end: Moment | null;
}

/** Null where either of the two does not know. */
export function etaOf(medians: Forecast, slow: Forecast): Eta {
  if (medians.kind !== "starts" || slow.kind !== "starts") return { start: null, end: null };
  return {
    start: momentOf(medians.atMs, slow.atMs),
    end: momentOf(medians.endsAtMs, slow.endsAtMs),
  };
}

function momentOf(p50Ms: number | undefined, p90Ms: number | undefined): Moment | null {
  if (p50Ms === undefined || p90Ms === undefined) return null;
  const p50 = Math.round(p50Ms);
  // Slower jobs may let this one pass that would have waited behind faster ones.
  return { p50_ms: p50, p90_ms: Math.max(p50, Math.round(p90Ms)) };
}

export interface LeaverWire {
  readonly backend: string;
  readonly model: string;
  readonly resident_mib: number;
  readonly state: Leaver["state"];
}

/** `reason` is the kind; what else it has depends on it. */
export interface WaitsForWire {
  readonly reason: WaitsFor["kind"];
  readonly message: string;
  readonly [value: string]: unknown;
}

export interface PlaceWire {
  readonly backend: string;
  readonly model: string;
  readonly device: string;
  readonly state: PlaceExplanation["state"];
  readonly feasible: boolean;
  readonly waits_for: WaitsForWire | null;
  readonly needed_mib: number;
  /** Null where nobody knows how much the device has. */
  readonly free_mib: number | null;
  readonly must_leave: readonly LeaverWire[];
  readonly setup_ms: number;
  readonly score: number;
  readonly rank: number;
}

export interface ExplanationWire {
  readonly job_id: string;
  readonly waits_for: WaitsForWire;
  /** What holds it back after that; null when it goes next then. */
  readonly next: WaitsForWire | null;
  readonly dispatch: { readonly position: number; readonly exact: boolean };
  readonly eta: Eta;
  /** Why there is no ETA; null when there is one. */
  readonly eta_unknown: string | null;
  readonly places: readonly PlaceWire[];
}

export function explanationToWire(
  { jobId, waitsFor, sentence, next, dispatch, places }: Explanation,
  medians: Forecast,
  slow: Forecast,
): ExplanationWire {
  return {
    job_id: jobId,
    waits_for: waitsToWire(waitsFor, sentence),
    next: next ? waitsToWire(next.waitsFor, next.sentence) : null,
    dispatch,
    eta: etaOf(medians, slow),
    eta_unknown: whyNot(medians) ?? whyNot(slow) ?? null,
    places: places.map(placeToWire),
  };
}

function placeToWire(place: PlaceExplanation): PlaceWire {
  const { backend, model, device, state, feasible, waitsFor, sentence, setupMs, rank } = place;
  return {
    backend,
    model,
    device,
    state,
    feasible,
    waits_for: waitsFor && sentence !== undefined ? waitsToWire(waitsFor, sentence) : null,
    needed_mib: place.neededMiB,
    free_mib: finite(place.freeMiB),
    must_leave: place.leave.map(leaverToWire),
    setup_ms: Math.round(setupMs),
    score: place.score,
    rank,
  };
}

function waitsToWire(waits: WaitsFor, message: string): WaitsForWire {
  const { kind, ...values } = waits;
  const wire: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values)) wire[snake(key)] = valueToWire(value);
  return { reason: kind, message, ...wire };
}

function valueToWire(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value === "number") return finite(value);
  if (Array.isArray(value)) return value.map(valueToWire);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [snake(key), valueToWire(inner)]),
  );
}

/** "againInMs" -> "again_in_ms", "residentMiB" -> "resident_mib". */
function snake(name: string): string {
  return name.replace("MiB", "Mib").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Whole, because nobody needs fractions of milliseconds; null instead of what JSON has not. */
function finite(value: number): number | null {
  return Number.isFinite(value) ? Math.round(value) : null;
}

function leaverToWire({ backend, model, residentMiB, state }: Leaver): LeaverWire {
  return { backend, model, resident_mib: residentMiB, state };
}

function whyNot(forecast: Forecast): string | undefined {
  return forecast.kind === "starts" ? undefined : forecast.reason;
}

export interface DryRunCost {
  readonly residentMiB: number;
  readonly workingMiB: number;
  /** Expected. */
  readonly loadMs: number;
  /** Expected. */
  readonly runMs: number;
  readonly source: "declared" | "learned" | "operator";
}

export interface DryRunInput {
  /** The same what-if, with medians and with 90th percentiles. */
  readonly medians: Forecast;
  readonly slow: Forecast;
  readonly cost: DryRunCost;
  /** Where it would run if nobody can tell when. */
  readonly otherwise: {
    readonly backend: string;
    readonly device: string;
    /** What would leave if it came now. */
    readonly leave: readonly Where[];
  };
}

export interface DryRunWire {
  /** False: it fits on no device, whatever leaves. */
  readonly feasible: boolean;
  readonly backend: string;
  readonly device: string;
  readonly cost: {
    readonly resident_mib: number;
    readonly working_mib: number;
    readonly load_ms: number;
    readonly run_ms: number;
    readonly source: DryRunCost["source"];
  };
  /** What would leave for it; what leaves for others before is theirs. */
  readonly evictions: readonly {
    readonly backend: string;
    readonly model: string;
    readonly device: string;
    /** Null when nobody can tell. */
    readonly at_ms: number | null;
  }[];
  /** Jobs that start before it; null when nobody can tell. */
  readonly ahead: number | null;
  readonly eta: Eta;
  /** Why it is not feasible, or why there is no ETA. */
  readonly reason?: string;
}

export function dryRun({ medians, slow, cost, otherwise }: DryRunInput): DryRunWire {
  const starts = medians.kind === "starts" ? medians : undefined;
  const reason = whyNot(medians) ?? whyNot(slow);
  return {
    feasible: medians.kind !== "never",
    backend: starts?.backend ?? otherwise.backend,
    device: starts?.device ?? otherwise.device,
    cost: {
      resident_mib: cost.residentMiB,
      working_mib: cost.workingMiB,
      load_ms: Math.round(cost.loadMs),
      run_ms: Math.round(cost.runMs),
      source: cost.source,
    },
    evictions: starts
      ? starts.evictions.filter(({ own }) => own).map(evictionToWire)
      : otherwise.leave.map((it) => ({ ...it, at_ms: null })),
    ahead: starts?.ahead.length ?? null,
    eta: etaOf(medians, slow),
    ...(reason === undefined ? {} : { reason }),
  };
}

function evictionToWire({
  backend,
  model,
  device,
  atMs,
}: ForecastMove): DryRunWire["evictions"][0] {
  return { backend, model, device, at_ms: Math.round(atMs) };
}
