/**
 * The one loop that owns the ledger. Facts come in as calls; the policy is asked for the next step
 * until it has none; what has to happen outside goes out through `Effects` and comes back as facts.
 * Nothing here waits, so that a simulator can drive it with a virtual clock.
 */
import * as books from "./books.ts";
import {
  type Device,
  freeMiB,
  type Group,
  headOf,
  type Place,
  physicalMiB,
  type Server,
  type Waiting,
} from "./ledger.ts";
import { hasSlot, isIdle, pending } from "./policy/fits.ts";
import type { Policy, PolicySettings, Step, View } from "./policy/policy.ts";
import { createQueue } from "./queue.ts";
import { refusalOf } from "./refusal.ts";

/** What the loop wants done. Each call may report back at once or later. */
export interface Effects {
  /** The job may compute now, until `ended`. */
  start(job: Waiting, place: Place): void;
  /** Bring the model onto the device; then `loaded` or `absent`. */
  load(place: Place): void;
  /** Make these leave, which leave together; then `left` or `stayed` for each. */
  evict(places: readonly Place[]): void;
}

export interface SchedulerSettings extends PolicySettings {
  /** A job is overdue when it has waited this long and `overdueRuns` times its expected run. */
  readonly overdueAfterMs: number;
  readonly overdueRuns: number;
  /** Longest expected run of a light job. */
  readonly heavyMs: number;
}

export interface Arrival {
  readonly id: string;
  readonly group: Group;
  readonly key: string;
  readonly keyWeight: number;
  /** 0 to 9, 9 first; more for what must not wait at all. */
  readonly priority: number;
  readonly runMs: number;
  readonly workingMiB: number;
  /** Fails when it has not begun by then. */
  readonly startByMs?: number;
}

/** A running job, as `started` handed it over. */
export interface Running {
  readonly job: Waiting;
  readonly place: Place;
}

export interface Scheduler {
  readonly view: View;
  addDevice(device: books.DeviceShape): Device;
  addServer(server: books.ServerShape): Server;
  addPlace(place: books.PlaceShape): Place;
  addGroup(name: string, places: readonly Place[]): Group;
  arrive(arrival: Arrival): Waiting;
  /** It does not want to run any more. */
  withdraw(job: Waiting): void;
  ended(running: Running): void;
  loaded(place: Place): void;
  /** It is not there, though it was being loaded, or is not any more. */
  absent(place: Place): void;
  left(place: Place): void;
  /** It did not leave; it is left alone until then. */
  stayed(place: Place, untilMs: number): void;
  /**
   * Counts these as leaving by order of the operator, in bundles that leave together; each must be
   * idle. The caller makes them leave; then `left` or `stayed`.
   */
  leave(places: readonly Place[]): readonly (readonly Place[])[];
  /** It is there, whoever brought it. */
  found(place: Place): void;
  /** Takes several facts in before the next decision: what happened at one moment. */
  together(facts: () => void): void;
  /** Looks again: a device, a server or the time has changed. */
  reconsider(): void;
  /** When the passing of time alone may change what is decided; Infinity when it does not. */
  wakeAtMs(): number;
  /** The device's memory does not suffice for what we believe is on it. */
  readonly overcommitted: readonly Device[];
}

export interface SchedulerOptions {
  readonly policy: Policy;
  readonly settings: SchedulerSettings;
  readonly effects: Effects;
  readonly nowMs: () => number;
}

const NORMAL_PRIORITY = 5;
/** No job is expected to take less; its rate would have no bound. */
const MIN_RUN_MS = 1;
/** A policy that has not come to an end by then is wrong. */
const MAX_STEPS = 100_000;

export function createScheduler(options: SchedulerOptions): Scheduler {
  const { settings, nowMs } = options;
  const queue = createQueue(options.policy.order ?? "urgency");
  const devices: Device[] = [];
  let seq = 0;
  const { groups, shares } = queue;
  const view = { nowMs: 0, devices, groups, shares, settings };
  const { reconsider, together } = createLoop(options, queue, view);

  return {
    view,
    reconsider,
    together,
    addDevice(shape) {
      const device = books.newDevice(shape, devices.length);
      devices.push(device);
      return device;
    },
    addServer: books.newServer,
    addPlace: books.newPlace,
    addGroup(name, places) {
      const group: Group = { name, places, lines: [], size: 0, weight: 0, runMs: 0 };
      for (const place of places) place.groups.push(group);
      return group;
    },
    arrive({ id, group, key, keyWeight, priority, workingMiB, startByMs, ...expected }) {
      const arrivedMs = nowMs();
      const runMs = Math.max(MIN_RUN_MS, expected.runMs);
      const overdueMs = settings.overdueAfterMs + settings.overdueRuns * runMs;
      const loadMs = Math.min(...group.places.map((place) => place.loadMs));
      const latestMs = startByMs === undefined ? Infinity : startByMs - loadMs - runMs;
      const job = queue.add(
        {
          id,
          seq: seq++,
          arrivedMs,
          priority,
          weight: 2 ** (priority - NORMAL_PRIORITY),
          runMs,
          workingMiB,
          heavy: runMs > settings.heavyMs,
          urgentAtMs: Math.min(arrivedMs + overdueMs, Math.max(arrivedMs, latestMs)),
          group,
        },
        key,
        keyWeight,
      );
      // Where every server is full one more job changes nothing that could be done now.
      if (job.urgentAtMs <= arrivedMs || group.places.some(hasSlot)) reconsider();
      return job;
    },
    withdraw(job) {
      queue.remove(job);
      for (const device of devices) {
        if (device.reservation?.job === job) device.reservation = undefined;
      }
      reconsider();
    },
    ended({ job, place }) {
      books.endRun(job, place, nowMs());
      reconsider();
    },
    loaded(place) {
      if (place.state === "loading") books.setState(place, "resident");
      reconsider();
    },
    absent: gone,
    left: gone,
    stayed(place, untilMs) {
      if (place.state === "leaving") books.setState(place, "resident");
      place.stuckUntilMs = untilMs;
      reconsider();
    },
    leave(places) {
      const idle = places.filter((place) => isIdle(place, nowMs()));
      books.leave(idle);
      return byServer(idle);
    },
    found(place) {
      if (place.state === "absent") books.accept(place);
      reconsider();
    },
    wakeAtMs: () => wakeAtMs(view, nowMs()),
    get overcommitted() {
      return devices.filter((device) => freeMiB(device) < 0 || physicalMiB(device) < 0);
    },
  };

  function gone(place: Place): void {
    if (place.state !== "absent") books.setState(place, "absent");
    reconsider();
  }
}

type Queue = ReturnType<typeof createQueue>;

function createLoop(
  { policy, settings, effects, nowMs }: SchedulerOptions,
  queue: Queue,
  view: { nowMs: number; readonly devices: readonly Device[] } & View,
): Pick<Scheduler, "reconsider" | "together"> {
  let deciding = false;
  let again = false;

  function decide(): void {
    for (const device of view.devices) if (device.promisedMiB > 0) settle(device);
    for (let steps = 0; queue.size > 0; steps++) {
      if (steps > MAX_STEPS) throw new Error(`policy ${policy.name} does not come to an end`);
      view.nowMs = nowMs();
      const step = policy.next(view);
      if (!step) return;
      const refusal = refusalOf(step, view.nowMs);
      if (refusal) throw new Error(`policy ${policy.name}: ${refusal}`);
      take(step);
    }
  }

  function take(step: Step): void {
    switch (step.kind) {
      case "start":
        begin(step.job, step.place);
        return;
      case "load":
        books.leave(step.victims);
        books.reserve(step.place, step.job.workingMiB);
        for (const together of byServer(step.victims)) effects.evict(together);
        settle(step.place.device);
        return;
      case "evict":
        books.leave(step.victims);
        for (const together of byServer(step.victims)) effects.evict(together);
        return;
      case "reserve": {
        const { job, place, victims, overdue } = step;
        place.device.reservation = { job, place, victims, overdue };
        return;
      }
      case "unreserve":
        step.device.reservation = undefined;
    }
  }

  function begin(job: Waiting, place: Place): void {
    // The first job pays for the load, in its key's share.
    const loadMs = place.served === 0 ? place.loadMs : 0;
    queue.remove(job);
    for (const device of view.devices) {
      const { reservation } = device;
      if (reservation?.job !== job) continue;
      device.reservation = undefined;
      if (place.device !== device || !reservation.overdue) continue;
      device.reserveAfterMs = view.nowMs + (job.runMs + place.loadMs) / settings.overdueShare;
    }
    queue.charge(job.line.share, job.runMs + loadMs);
    books.beginRun(job, place, view.nowMs);
    effects.start(job, place);
  }

  /** Starts the loads whose memory is there; gives those up that will not get it any more. */
  function settle(device: Device): void {
    for (const place of [...device.places].reverse()) {
      const isWanted = pending(place) > 0;
      // Others took what was promised, or nobody waits for it any more.
      if (place.state === "reserved" && (freeMiB(device) < 0 || !isWanted)) {
        books.setState(place, "absent");
      } else if (place.keptMiB > 0 && !isWanted) {
        books.keep(place, 0);
      }
    }
    for (const place of [...device.places]) {
      if (place.state !== "reserved" || physicalMiB(device) < place.residentMiB) continue;
      if (isEmptying(place.server)) continue;
      place.loadedAtMs = nowMs() + place.loadMs;
      books.setState(place, "loading");
      effects.load(place);
    }
  }

  /** Runs the work, then decides whatever it and the decisions call for. */
  function together(work: () => void): void {
    if (deciding) {
      work();
      return;
    }
    deciding = true;
    try {
      work();
      while (again) {
        again = false;
        decide();
      }
    } finally {
      deciding = false;
    }
  }

  function reconsider(): void {
    again = true;
    // An effect that reports back at once comes through here while a step is being taken.
    if (!deciding) together(() => undefined);
  }

  return { reconsider, together };
}

function wakeAtMs({ groups, devices }: View, nowMs: number): number {
  let wake = Infinity;
  if (groups.length === 0) return wake;
  const consider = (timeMs: number) => {
    if (timeMs > nowMs && timeMs < wake) wake = timeMs;
  };
  for (const { lines } of groups) {
    for (const line of lines) consider(headOf(line).urgentAtMs);
  }
  for (const { reserveAfterMs, lightUntilMs, places } of devices) {
    consider(reserveAfterMs);
    consider(lightUntilMs);
    for (const { stuckUntilMs } of places) consider(stuckUntilMs);
  }
  return wake;
}

/** What is told to let everything go is not given anything new meanwhile. */
function isEmptying({ frees, places }: Server): boolean {
  return frees === "everything" && places.some(({ state }) => state === "leaving");
}

function byServer(places: readonly Place[]): Place[][] {
  return [...Map.groupBy(places, ({ server }) => server).values()];
}
