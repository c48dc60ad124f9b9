/** What the probe and the clock teach the cost book: when a measurement counts, and for what. */
import type { Admission, Granted, LeaseEnd } from "./admission.ts";
import { type CostBook, type CostKey, sizeBucket } from "./costs/cost-book.ts";
import type { Place } from "./ledger.ts";
import type { Roster } from "./roster.ts";
import type { Fact } from "./truth.ts";

export interface Learning {
  /** The probe saw what a model holds, or what a job holds on top. */
  saw(fact: Fact): void;
  /** The gateway loaded a model. */
  loaded(place: Place, ms: number): void;
  /** A lease has ended. */
  ran(job: Granted, end: LeaseEnd | undefined): void;
}

export interface LearningOptions {
  readonly costs: CostBook;
  readonly admission: Admission;
  readonly roster: Roster;
  readonly nowMs: () => number;
}

/** Runs without a load that must be known before the rest of a first run counts as its load. */
const RUNS_TO_TELL_LOADS = 3;
const MAX_SEEN = 1_000;

export function createLearning({ costs, admission, roster, nowMs }: LearningOptions): Learning {
  /** Working memory of running jobs: what counts is the peak of a run that ended well. */
  const peaks = new WeakMap<Granted, number>();
  /** Resident sizes that were learned from, so that a model that only stands there teaches once. */
  const seen = new Map<string, number>();
  const runs = new Map<string, { warm: number; warmMs: number; coldMs: number | undefined }>();

  /**
   * The first job of a server that loads by itself brings its model along: what it took longer than
   * the others was the load, as soon as enough others are known.
   */
  function loadIn(name: string, ms: number, cold: boolean): number | undefined {
    const known = runs.get(name) ?? { warm: 0, warmMs: 0, coldMs: undefined };
    if (runs.size >= MAX_SEEN) runs.clear();
    runs.set(name, known);
    if (cold) known.coldMs = ms;
    else {
      known.warm++;
      known.warmMs += ms;
    }
    if (known.coldMs === undefined || known.warm < RUNS_TO_TELL_LOADS) return undefined;
    const loadMs = Math.max(0, known.coldMs - known.warmMs / known.warm);
    known.coldMs = undefined;
    return loadMs;
  }

  function outOfMemory(job: Granted, key: CostKey, residentMiB: number, workingMiB: number): void {
    const claimedMiB = residentMiB + workingMiB;
    // The probe looks once a second and may have missed the peak: the claim did not suffice.
    const observedPeakMiB = Math.max(claimedMiB, residentMiB + (peaks.get(job) ?? 0));
    costs.observe({ kind: "out_of_memory", key, claimedMiB, observedPeakMiB });
  }

  return {
    saw({ backend, kind, model, mib }) {
      if (kind === "working") {
        const job = [...admission.granted.values()].find((it) => it.backend === backend);
        if (job) peaks.set(job, Math.max(mib, peaks.get(job) ?? 0));
        return;
      }
      const name = JSON.stringify([backend, model]);
      if (seen.get(name) === mib) return;
      if (seen.size >= MAX_SEEN) seen.clear();
      seen.set(name, mib);
      costs.observe({ kind, key: { backend, model, bucket: 0 }, mib });
    },
    loaded({ server, model }, ms) {
      costs.observe({ kind: "load", key: { backend: server.name, model, bucket: 0 }, ms });
    },
    ran(job, end) {
      const { backend, request, startedAtMs, cold } = job;
      const demand = request.choices.find((choice) => choice.backend === backend)?.demand;
      if (!demand || !end || end === "failed") return;
      const key = { backend, model: demand.model, bucket: sizeBucket(demand.size) };
      const { residentMiB, workingMiB } = roster.estimate(backend, demand);
      if (end === "out_of_memory") {
        outOfMemory(job, key, residentMiB, workingMiB);
        return;
      }
      const peakMiB = peaks.get(job);
      if (peakMiB !== undefined) costs.observe({ kind: "working", key, mib: peakMiB });
      const ms = nowMs() - startedAtMs;
      if (!cold) costs.observe({ kind: "run", key, ms });
      const loadMs = loadIn(JSON.stringify(key), ms, cold);
      if (loadMs !== undefined) costs.observe({ kind: "load", key, ms: loadMs });
    },
  };
}
