/**
 * The product's own scheduler on a virtual clock: services, a trace of jobs, and what happened. The
 * model: a service loads in `load_ms`; a job does `run_ms` of work; residents of a device compute
 * side by side by processor sharing (shared), or a device does one thing at a time, a job or a load
 * (lane). Evictions take no time, and memory is what the services say.
 */
import type { Group, Place } from "../../core/vram/ledger.ts";
import type { Policy } from "../../core/vram/policy/policy.ts";
import {
  createScheduler,
  type Scheduler,
  type SchedulerSettings,
} from "../../core/vram/scheduler.ts";
import { addRun, createLane, type Lane, nextEndMs, takeLoads, takeRuns } from "./lane.ts";
import type { Compute, Outcome, Service, TraceJob } from "./model.ts";

export interface SimulationOptions {
  readonly services: readonly Service[];
  /** MiB of each. */
  readonly devices: readonly number[];
  /** In the order of `at_ms`. */
  readonly trace: readonly TraceJob[];
  readonly compute: Compute;
  readonly policy: Policy;
  /** Heavy jobs that may compute at once on a device. */
  readonly heavy: number;
  readonly headroomMiB: number;
  readonly settings?: Partial<SchedulerSettings>;
  /** Takes what happened, in the order in which it ended. */
  readonly write: (outcome: Outcome, job?: TraceJob) => void;
  /** Called before each decision and after it; for measuring. */
  readonly observe?: (event: "before" | "after", scheduler: Scheduler) => void;
}

export interface Simulation {
  /** Jobs whose service fits on no device: they never had a chance. */
  readonly infeasible: readonly TraceJob[];
  /** Jobs that the policy never let run. */
  readonly unfinished: readonly TraceJob[];
  /** Milliseconds in which a job ran, of all devices together. */
  readonly busyMs: number;
}

/** The gateway's own, unless its configuration says otherwise. */
export const DEFAULT_SETTINGS: SchedulerSettings = {
  overdueAfterMs: 60_000,
  overdueRuns: 2,
  heavyMs: 10_000,
  overdueShare: 0.25,
  fairnessMs: 120_000,
};

const NORMAL_PRIORITY = 5;

interface World {
  readonly lanes: readonly Lane[];
  readonly groups: ReadonlyMap<string, { readonly group: Group; readonly service: Service }>;
}

/** Throws for a service that is not listed, and for a policy that breaks a rule. */
export function simulate(options: SimulationOptions): Simulation {
  const { trace, write, observe } = options;
  let nowMs = 0;
  const waiting = new Map<string, TraceJob>();
  const infeasible: TraceJob[] = [];
  const laneOf = new Map<Place["device"], Lane>();

  const scheduler = createScheduler({
    policy: options.policy,
    settings: { ...DEFAULT_SETTINGS, ...options.settings },
    nowMs: () => nowMs,
    effects: {
      start(job, place) {
        const trace = waiting.get(job.id) as TraceJob;
        waiting.delete(job.id);
        addRun(laneOf.get(place.device) as Lane, { trace, job, place, startMs: nowMs });
      },
      load(place) {
        const load = { place, startMs: nowMs, endMs: nowMs + place.loadMs };
        laneOf.get(place.device)?.loads.push(load);
      },
      evict(places) {
        for (const place of places) {
          const device = laneOf.get(place.device)?.index ?? 0;
          write({ type: "evict", service: place.model, device, at_ms: nowMs });
          scheduler.left(place);
        }
      },
    },
  });
  const { lanes, groups } = build(scheduler, options);
  for (const lane of lanes) laneOf.set(lane.device, lane);

  function arrive(job: TraceJob): void {
    const found = groups.get(job.service);
    if (!found) throw new Error(`job ${job.id} names the service "${job.service}": not listed`);
    if (found.group.places.length === 0) return void infeasible.push(job);
    waiting.set(job.id, job);
    scheduler.arrive({
      id: job.id,
      group: found.group,
      key: job.key ?? "",
      keyWeight: 1,
      priority: job.priority ?? NORMAL_PRIORITY,
      runMs: found.service.run_ms,
      workingMiB: 0,
    });
  }

  function end(lane: Lane): void {
    const device = lane.index;
    for (const { trace, job, place, startMs } of takeRuns(lane, nowMs)) {
      write({ type: "job", id: trace.id, device, start_ms: startMs, end_ms: nowMs }, trace);
      scheduler.ended({ job, place });
    }
    for (const { place, startMs, endMs } of takeLoads(lane, nowMs)) {
      const service = place.model;
      write({ type: "load", service, device, start_ms: startMs, end_ms: endMs });
      scheduler.loaded(place);
    }
  }

  let next = 0;
  for (;;) {
    let atMs = trace[next]?.at_ms ?? Infinity;
    for (const lane of lanes) atMs = Math.min(atMs, nextEndMs(lane));
    const wakeMs = scheduler.wakeAtMs();
    atMs = Math.min(atMs, wakeMs);
    if (atMs === Infinity) break;
    nowMs = Math.max(nowMs, atMs);
    const isWake = wakeMs <= nowMs;
    observe?.("before", scheduler);
    // What happens at one moment is known before anything is decided.
    scheduler.together(() => {
      for (const lane of lanes) if (nextEndMs(lane) <= nowMs) end(lane);
      for (let job = trace[next]; job && job.at_ms <= nowMs; job = trace[++next]) arrive(job);
      if (isWake) scheduler.reconsider();
    });
    observe?.("after", scheduler);
  }
  const busyMs = lanes.reduce((sum, lane) => sum + lane.busyMs, 0);
  return { infeasible, unfinished: [...waiting.values()], busyMs };
}

function build(scheduler: Scheduler, options: SimulationOptions): World {
  const { services, devices, compute, heavy, headroomMiB } = options;
  const lanes = devices.map((mib, index) => {
    const limitMiB = mib - headroomMiB;
    const name = `gpu${index}`;
    return createLane(scheduler.addDevice({ name, limitMiB, compute, heavyLimit: heavy }), index);
  });
  const groups = new Map(
    services.map((service) => {
      const { name, vram_mib, load_ms, slots } = service;
      const server = scheduler.addServer({ name, slots: slots ?? 1, frees: "model" });
      const places = lanes
        .filter(({ device }) => vram_mib <= device.limitMiB)
        .map(({ device }) => {
          const place = { server, device, model: name, residentMiB: vram_mib, loadMs: load_ms };
          return scheduler.addPlace(place);
        });
      return [name, { group: scheduler.addGroup(name, places), service }];
    }),
  );
  return { lanes, groups };
}
