/** What the twin plays: the mix and its traces, fifty times as fast, and the scheduler's settings. */
import type { SchedulerSettings } from "../../core/vram/scheduler.ts";
import { DEFAULT_SETTINGS } from "../../scripts/simulator/simulator.ts";
import type { Job, Service } from "../scheduler/format.ts";
import { generate, mixServices } from "../scheduler/mix.ts";

/** Everything that takes time takes this part of it. */
export const SCALE = 50;
export const SEEDS: readonly number[] = [1, 2, 3];
const JOBS = 300;
/** Pure work per unit of time. */
export const LOAD = 0.6;

/** As both sides know them: whole milliseconds, because the gateway's settings are. */
export function scaledServices(): Service[] {
  return mixServices().map((service) => ({
    ...service,
    load_ms: Math.round(service.load_ms / SCALE),
    run_ms: Math.max(1, Math.round(service.run_ms / SCALE)),
  }));
}

export function scaledTrace(seed: number): Job[] {
  const wish = { seed, jobs: JOBS, load: LOAD, stickiness: 0.5 };
  return generate({ ...wish, arrivals: { kind: "poisson" } }).map((job) => ({
    ...job,
    at_ms: job.at_ms / SCALE,
    run_ms: job.run_ms / SCALE,
  }));
}

export const SETTINGS: SchedulerSettings = {
  ...DEFAULT_SETTINGS,
  overdueAfterMs: DEFAULT_SETTINGS.overdueAfterMs / SCALE,
  heavyMs: DEFAULT_SETTINGS.heavyMs / SCALE,
  fairnessMs: DEFAULT_SETTINGS.fairnessMs / SCALE,
};
