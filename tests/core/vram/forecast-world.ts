/**
 * A small world for the scheduler: devices and servers on a virtual clock, with durations that are
 * exactly as given. It is written apart from the forecast's own, so that each checks the other.
 */
import type { RunningJob } from "../../../core/vram/forecast/forecast.ts";
import type { Device, Group, Place, Server, Waiting } from "../../../core/vram/ledger.ts";
import { fair } from "../../../core/vram/policy/fair.ts";
import type { Policy } from "../../../core/vram/policy/policy.ts";
import {
  createScheduler,
  type Scheduler,
  type SchedulerSettings,
} from "../../../core/vram/scheduler.ts";

export const SETTINGS: SchedulerSettings = {
  overdueAfterMs: 60_000,
  overdueRuns: 2,
  heavyMs: 10_000,
  overdueShare: 0.25,
  fairnessMs: 120_000,
};

export interface Model {
  readonly name: string;
  readonly residentMiB: number;
  readonly loadMs: number;
  readonly runMs: number;
  readonly workingMiB?: number;
  readonly slots?: number;
  /** Several models of one server. */
  readonly server?: string;
  readonly frees?: Server["frees"];
  /** Devices that it may use; all unless said. */
  readonly on?: readonly string[];
}

export interface WorldOptions {
  /** MiB by name. */
  readonly devices?: Readonly<Record<string, number>>;
  readonly models: readonly Model[];
  readonly policy?: Policy;
  readonly settings?: Partial<SchedulerSettings>;
  readonly compute?: Device["compute"];
  /** How long a model takes to leave. */
  readonly leaveMs?: number;
}

export interface JobOptions {
  readonly id?: string;
  readonly key?: string;
  readonly priority?: number;
  /** True work, which the scheduler does not know; the model's `runMs` unless said. */
  readonly workMs?: number;
  readonly startByMs?: number;
}

export interface World {
  readonly scheduler: Scheduler;
  readonly policy: Policy;
  readonly settings: SchedulerSettings;
  readonly nowMs: number;
  readonly running: readonly RunningJob[];
  readonly started: ReadonlyMap<string, number>;
  readonly ended: ReadonlyMap<string, number>;
  device(name?: string): Device;
  server(name: string): Server;
  place(model: string, device?: string): Place;
  group(model: string): Group;
  submit(model: string, options?: JobOptions): Waiting;
  /** The true work of a job that arrives past `submit`. */
  expectWork(id: string, workMs: number): void;
  workOf(job: Waiting): number | undefined;
  /** Lets the time pass; without a limit until nothing happens any more. */
  pass(ms?: number): void;
}

interface Run {
  readonly job: Waiting;
  readonly place: Place;
  readonly startedAtMs: number;
  leftMs: number;
}

export function createWorld(options: WorldOptions): World {
  const settings = { ...SETTINGS, ...options.settings };
  const policy = options.policy ?? fair;
  let now = 0;
  let count = 0;
  const work = new Map<string, number>();
  let runs: Run[] = [];
  let timed: { atMs: number; happens: () => void }[] = [];
  const started = new Map<string, number>();
  const ended = new Map<string, number>();
  const scheduler = createScheduler({
    policy,
    settings,
    nowMs: () => now,
    effects: {
      start(job, place) {
        started.set(job.id, now);
        runs.push({ job, place, startedAtMs: now, leftMs: work.get(job.id)! });
      },
      load: (place) =>
        void timed.push({ atMs: now + place.loadMs, happens: () => scheduler.loaded(place) }),
      evict(places) {
        for (const place of places) {
          timed.push({ atMs: now + (options.leaveMs ?? 0), happens: () => scheduler.left(place) });
        }
      },
    },
  });
  const devices = new Map<string, Device>();
  for (const [name, limitMiB] of Object.entries(options.devices ?? { gpu0: 24_576 })) {
    const compute = options.compute ?? "shared";
    devices.set(name, scheduler.addDevice({ name, limitMiB, compute, heavyLimit: 1 }));
  }
  const servers = new Map<string, Server>();
  const groups = new Map<string, { group: Group; model: Model }>();
  for (const model of options.models) {
    const { name, residentMiB, loadMs, slots = 1, frees = "model", on } = model;
    const serverName = model.server ?? name;
    const server =
      servers.get(serverName) ?? scheduler.addServer({ name: serverName, slots, frees });
    servers.set(serverName, server);
    const places = [...devices.values()]
      .filter((device) => !on || on.includes(device.name))
      .map((device, index) => {
        // Which of two loads is first that end in the same instant, nobody can foretell.
        const own = { loadMs: loadMs + index, residentMiB };
        return scheduler.addPlace({ server, device, model: name, ...own });
      });
    groups.set(name, { group: scheduler.addGroup(name, places), model });
  }

  const speed = ({ place }: Run): number => {
    const beside = runs.filter((it) => it.place.device === place.device).length;
    return beside > 1 ? 0.95 / beside : 1;
  };

  function step(limitMs: number): boolean {
    let atMs = Math.min(Infinity, scheduler.wakeAtMs());
    for (const item of timed) atMs = Math.min(atMs, item.atMs);
    for (const run of runs) atMs = Math.min(atMs, now + run.leftMs / speed(run));
    if (atMs === Infinity || atMs > limitMs) return false;
    const due = runs.filter((run) => now + run.leftMs / speed(run) <= atMs);
    advance(atMs);
    const item = timed.find((it) => it.atMs <= atMs);
    if (due[0]) {
      const [run] = due as [Run];
      runs = runs.filter((it) => it !== run);
      ended.set(run.job.id, now);
      scheduler.ended({ job: run.job, place: run.place });
    } else if (item) {
      timed = timed.filter((it) => it !== item);
      item.happens();
    } else {
      scheduler.reconsider();
    }
    return true;
  }

  function advance(untilMs: number): void {
    const speeds = runs.map(speed);
    runs.forEach((run, index) => {
      run.leftMs = Math.max(0, run.leftMs - (untilMs - now) * speeds[index]!);
    });
    now = Math.max(now, untilMs);
  }

  return {
    scheduler,
    policy,
    settings,
    get nowMs() {
      return now;
    },
    get running() {
      return runs.map(({ job, place, startedAtMs, leftMs }) => ({
        job,
        place,
        startedAtMs,
        workedMs: work.get(job.id)! - leftMs,
      }));
    },
    started,
    ended,
    device: (name = "gpu0") => devices.get(name)!,
    server: (name) => servers.get(name)!,
    place: (model, device = "gpu0") =>
      groups.get(model)!.group.places.find((it) => it.device.name === device)!,
    group: (model) => groups.get(model)!.group,
    submit(name, { id = `job-${count}`, key = "key", priority = 5, workMs, startByMs } = {}) {
      count++;
      const { group, model } = groups.get(name)!;
      const { runMs, workingMiB = 0 } = model;
      work.set(id, workMs ?? runMs);
      return scheduler.arrive({
        id,
        group,
        key,
        keyWeight: 1,
        priority,
        runMs,
        workingMiB,
        startByMs,
      });
    },
    expectWork: (id, workMs) => void work.set(id, workMs),
    workOf: (job) => work.get(job.id),
    pass(ms = Infinity) {
      const untilMs = now + ms;
      for (let steps = 0; step(untilMs); steps++) {
        if (steps > 100_000) throw new Error("the world does not come to an end");
      }
      if (untilMs !== Infinity) advance(untilMs);
    },
  };
}

/** Everything that can be reached from here, cycles as numbers. */
export function dump(root: object): string {
  const seen = new Map<object, number>();
  return JSON.stringify(root, (_, value) => {
    if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
    if (value === undefined) return "undefined";
    if (typeof value !== "object" || value === null) return value;
    const known = seen.get(value);
    if (known !== undefined) return `#${known}`;
    seen.set(value, seen.size);
    return value;
  });
}
