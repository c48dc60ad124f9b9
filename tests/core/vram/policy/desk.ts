/** A scheduler on a desk: the test is its clock and its servers, and reads what it wanted done. */
import type { Device, Group, Place, Waiting } from "../../../../core/vram/ledger.ts";
import { fair } from "../../../../core/vram/policy/fair.ts";
import type { Policy } from "../../../../core/vram/policy/policy.ts";
import {
  type Arrival,
  createScheduler,
  type Running,
  type Scheduler,
  type SchedulerSettings,
} from "../../../../core/vram/scheduler.ts";

export interface DeskOptions {
  readonly policy?: Policy;
  readonly settings?: Partial<SchedulerSettings>;
  /** MiB of each. */
  readonly devices?: readonly number[];
  readonly compute?: "shared" | "lane";
}

export interface ModelWish {
  readonly mib: number;
  readonly loadMs?: number;
  readonly slots?: number;
  readonly frees?: "model" | "everything";
}

export interface Desk {
  readonly scheduler: Scheduler;
  readonly devices: readonly Device[];
  /** What happened: "load a", "evict a b", "start j1 a", in this order. */
  readonly log: string[];
  nowMs: number;
  /** One server with one model, on every device where it fits. */
  model(name: string, wish: ModelWish): Group;
  ask(id: string, group: Group, wish?: Partial<Arrival>): Waiting;
  /** Lets the load of this model end. */
  loaded(name: string): void;
  /** Brings a model without a load. */
  bring(group: Group): void;
  left(name: string): void;
  stayed(name: string, untilMs: number): void;
  end(id: string): void;
  /** Moves the clock and lets the scheduler look. */
  pass(ms: number): void;
  running(): string[];
}

const SETTINGS: SchedulerSettings = {
  overdueAfterMs: 60_000,
  overdueRuns: 2,
  heavyMs: 10_000,
  overdueShare: 0.25,
  fairnessMs: 120_000,
};

export function openDesk(options: DeskOptions = {}): Desk {
  const log: string[] = [];
  const running = new Map<string, Running>();
  const places: Place[] = [];
  const scheduler = createScheduler({
    policy: options.policy ?? fair,
    settings: { ...SETTINGS, ...options.settings },
    nowMs: () => desk.nowMs,
    effects: {
      start(job, place) {
        running.set(job.id, { job, place });
        log.push(`start ${job.id} ${nameOf(place)}`);
      },
      load: (place) => void log.push(`load ${nameOf(place)}`),
      evict: (victims) => void log.push(`evict ${victims.map(nameOf).join(" ")}`),
    },
  });
  const devices = (options.devices ?? [24_000]).map((limitMiB, index) =>
    scheduler.addDevice({
      name: `gpu${index}`,
      limitMiB,
      compute: options.compute ?? "shared",
      heavyLimit: 1,
    }),
  );
  const nameOf = ({ model, device }: Place) =>
    devices.length === 1 ? model : `${model}@${device.name}`;
  const placeOf = (name: string, state: Place["state"]): Place => {
    const place = places.find((it) => nameOf(it) === name && it.state === state);
    if (!place) throw new Error(`${name} is not ${state}; there was: ${log.join(", ")}`);
    return place;
  };
  const desk: Desk = {
    scheduler,
    devices,
    log,
    nowMs: 0,
    model(name, { mib, loadMs = 5_000, slots = 1, frees = "model" }) {
      const server = scheduler.addServer({ name, slots, frees });
      const homes = devices.map((device) =>
        scheduler.addPlace({ server, device, model: name, residentMiB: mib, loadMs }),
      );
      places.push(...homes);
      return scheduler.addGroup(name, homes);
    },
    ask: (id, group, wish = {}) =>
      scheduler.arrive({
        id,
        group,
        key: "",
        keyWeight: 1,
        priority: 5,
        runMs: 5_000,
        workingMiB: 0,
        ...wish,
      }),
    loaded: (name) => scheduler.loaded(placeOf(name, "loading")),
    bring: ({ places: [place] }) => scheduler.found(place!),
    left: (name) => scheduler.left(placeOf(name, "leaving")),
    stayed: (name, untilMs) => scheduler.stayed(placeOf(name, "leaving"), untilMs),
    end(id) {
      const one = running.get(id);
      if (!one) throw new Error(`${id} does not run; there was: ${log.join(", ")}`);
      running.delete(id);
      scheduler.ended(one);
    },
    pass(ms) {
      desk.nowMs += ms;
      scheduler.reconsider();
    },
    running: () => [...running.keys()],
  };
  return desk;
}
