/** The port of the jobs: leases, why a job waits, and what would become of one that is not sent. */
import { GatewayError } from "../errors.ts";
import type { Admission, LeaseRequest } from "./admission.ts";
import { explain, type Scene, waitReason } from "./explain/explain.ts";
import { whereOf } from "./explain/obstacle.ts";
import type { Where } from "./explain/waits.ts";
import { dryRun, explanationToWire } from "./explain/wire.ts";
import { type Forecast, forecast, type WhatIf } from "./forecast/forecast.ts";
import { freeMiB, type Place } from "./ledger.ts";
import { chooseVictims, keepValue } from "./policy/victims.ts";
import type { Choice } from "./roster.ts";
import type { Running } from "./scheduler.ts";
import type { Vram } from "./vram.ts";

export interface SchedulingPort {
  readonly acquire: Admission["acquire"];
  /** Undefined when the job does not wait here. */
  waiting(jobId: string): { readonly ahead: number; readonly reason: string } | undefined;
  /** Of a waiting job, as clients read it; undefined when it does not wait here. */
  explain(jobId: string): Record<string, unknown> | undefined;
  /** What would become of this request, as clients read it. Nothing is queued. */
  dryRun(request: WhatIfRequest): Record<string, unknown>;
}

export type WhatIfRequest = Pick<
  LeaseRequest,
  "keyId" | "keyWeight" | "choices" | "priority" | "startByMs"
>;

/** Forecasts are not made over longer queues than this: they would hold everything else up. */
const MAX_FORECAST_JOBS = 2_000;
/** Loads that must have been measured before their mean is taken for the next one. */
const LOADS_TO_FORECAST = 3;

type Quantile = "p50" | "p90";

export function schedulingPort(vram: Vram): SchedulingPort {
  const { admission, scheduler, roster, effects, nowMs } = vram;

  function runOf(jobId: string, place: Place, isFirst: boolean, quantile: Quantile) {
    const { name } = place.server;
    const demand = admission
      .request(jobId)
      ?.choices.find((choice) => choice.backend === name)?.demand;
    if (!demand) return undefined;
    const estimate = roster.estimate(name, demand);
    const runMs = quantile === "p50" ? estimate.runP50Ms : estimate.runP90Ms;
    // Where the server loads by itself, its first job takes as much longer.
    const loadMs = isFirst && loadsItself(place) ? measuredLoadMs(place, quantile) : 0;
    return runMs === undefined || loadMs === undefined ? undefined : runMs + loadMs;
  }

  function loadsItself({ server }: Place): boolean {
    const port = roster.port(server.name);
    return port !== undefined && !port.load && (!port.process || port.process.running());
  }

  function loadOf(place: Place, quantile: Quantile): number | undefined {
    const isInstant = !roster.port(place.server.name) || loadsItself(place);
    return isInstant ? 0 : measuredLoadMs(place, quantile);
  }

  function measuredLoadMs({ server, model, residentMiB, loadMs }: Place, quantile: Quantile) {
    const estimate = roster.estimate(server.name, { model, residentMiB, workingMiB: 0 });
    if (estimate.samples.load < LOADS_TO_FORECAST) return undefined;
    return quantile === "p50" ? loadMs : (estimate.loadP90Ms ?? loadMs);
  }

  /** External leases too: what is missing here would seem to go on for ever. */
  function running(): (Running & { readonly startedAtMs: number })[] {
    const jobs = [...admission.granted.values()].flatMap(({ running: it, startedAtMs }) =>
      it ? [{ ...it, startedAtMs }] : [],
    );
    return [...jobs, ...vram.leases.running()];
  }

  function look(watch: string | WhatIf, quantile: Quantile): Forecast {
    return forecast({
      view: scheduler.view,
      nowMs: nowMs(),
      policy: vram.policy,
      settings: vram.settings,
      running: running(),
      runOf: (job, place, isFirst) => runOf(job.id, place, isFirst, quantile),
      loadOf: (place) => loadOf(place, quantile),
      watch,
      limitJobs: MAX_FORECAST_JOBS,
    });
  }

  const scene = (): Scene => ({
    nowMs: nowMs(),
    running: running(),
    failureOf: effects.failureOf,
  });
  const ordersBy = vram.policy.name === "fair" ? "batch" : "arrival";

  return {
    acquire: admission.acquire,
    waiting(jobId) {
      const job = admission.waiting(jobId);
      if (job) return waitReason(scheduler.view, job, { nowMs: nowMs(), ordersBy });
      const place = admission.devicelessPlace(jobId);
      return place && { ahead: place.ahead, reason: place.down ? "backend_down" : "backend_busy" };
    },
    explain(jobId) {
      const job = admission.waiting(jobId);
      if (!job) return undefined;
      const medians = look(jobId, "p50");
      const explanation = explain({
        ...scene(),
        view: scheduler.view,
        job,
        ordersBy,
        forecast: medians,
      });
      return { ...explanationToWire(explanation, medians, look(jobId, "p90")) };
    },
    dryRun(request) {
      const needing = request.choices.filter((it): it is Choice => it.demand !== undefined);
      const [first] = needing;
      const group = first && roster.group(needing);
      if (!first || !group) return deviceless(request);
      const estimate = roster.estimate(first.backend, first.demand);
      const place = bestOf(group.places);
      const whatIf = (durationMs: number | undefined): WhatIf => ({
        group,
        key: request.keyId,
        keyWeight: request.keyWeight ?? 1,
        priority: request.priority,
        runMs: estimate.runMs,
        durationMs,
        workingMiB: estimate.workingMiB,
        startByMs: request.startByMs,
      });
      return {
        ...dryRun({
          medians: look(whatIf(estimate.runP50Ms), "p50"),
          slow: look(whatIf(estimate.runP90Ms), "p90"),
          cost: estimate,
          otherwise: {
            backend: place?.server.name ?? first.backend,
            device: place?.device.name ?? "",
            leave: place ? leaversFor(place, estimate.workingMiB, nowMs()) : [],
          },
        }),
      };
    },
  };
}

/** Where the model is already, else where the most room is. */
function bestOf(places: readonly Place[]): Place | undefined {
  const there = places.find(({ state }) => state === "resident");
  return there ?? [...places].sort((a, b) => freeMiB(b.device) - freeMiB(a.device))[0];
}

/** The residents, idle now, that would make the room. */
function leaversFor(place: Place, workingMiB: number, nowMs: number): Where[] {
  const needMiB = workingMiB + (place.state === "absent" ? place.residentMiB : 0);
  const rules = { nowMs, value: keepValue, mayLeave: () => true };
  return (chooseVictims(place, needMiB, rules) ?? []).map(whereOf);
}

/** Work that needs no device waits for nobody's memory. */
function deviceless({ choices }: WhatIfRequest): Record<string, unknown> {
  const [choice] = choices;
  if (!choice) throw new GatewayError("INTERNAL", "A request without a backend was looked at");
  return {
    feasible: true,
    backend: choice.backend,
    device: null,
    cost: { resident_mib: 0, working_mib: 0, load_ms: 0, run_ms: null, source: "declared" },
    evictions: [],
    ahead: null,
    eta: { start: null, end: null },
  };
}
