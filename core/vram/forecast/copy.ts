/**
 * A second ledger, equal to the live one, under a scheduler of its own: what happens to it happens
 * to nobody. Every device, place, group, line and share is made anew; the live ones are only read.
 */
import type { Device, Group, Line, Place, Server, Share, Waiting } from "../ledger.ts";
import type { Policy, View } from "../policy/policy.ts";
import {
  type Arrival,
  createScheduler,
  type Effects,
  type Running,
  type Scheduler,
  type SchedulerSettings,
} from "../scheduler.ts";

export interface CopyInput {
  readonly view: View;
  readonly policy: Policy;
  readonly settings: SchedulerSettings;
  readonly effects: Effects;
  /** The copy's clock; it is turned back while the waiting jobs arrive, and stands at now after. */
  readonly clock: { nowMs: number };
  readonly running: readonly Running[];
  /** Groups that are needed though nothing waits in them. */
  readonly groups: readonly Group[];
}

export interface LedgerCopy {
  readonly scheduler: Scheduler;
  placeOf(live: Place): Place;
  groupOf(live: Group): Group;
  livePlace(copy: Place): Place;
  /** Itself for a job that the live ledger does not have. */
  liveJob(copy: Waiting): Waiting;
  /** In the order of `running`. */
  readonly running: readonly Running[];
  /** The copies of the waiting jobs, by id. */
  readonly jobs: ReadonlyMap<string, Waiting>;
  /** One more job, now. Its group is a live one. */
  submit(arrival: Arrival): Waiting;
  /** From here on the policy decides; until then the copy stands still. */
  release(): void;
}

export function copyLedger(input: CopyInput): LedgerCopy {
  const { view, policy, clock } = input;
  const nowMs = clock.nowMs;
  let released = false;
  const scheduler = createScheduler({
    policy: { ...policy, next: (seen) => (released ? policy.next(seen) : undefined) },
    settings: input.settings,
    effects: input.effects,
    nowMs: () => clock.nowMs,
  });
  const { deviceOf, placeOf, livePlace } = copyPlaces(scheduler);
  const groups = new Map<Group, Group>();
  const shares = new Map<Share, Share>();
  const jobs = new Map<string, Waiting>();
  const liveJobs = new Map<Waiting, Waiting>();

  function groupOf(live: Group): Group {
    const known = groups.get(live);
    if (known) return known;
    const copy = scheduler.addGroup(live.name, live.places.map(placeOf));
    groups.set(live, copy);
    return copy;
  }

  /** They arrive once more, one after the other, and then get the figures of the live ones. */
  function copyLine(live: Line, group: Group): void {
    const copies: Waiting[] = [];
    for (let index = live.head; index < live.jobs.length; index++) {
      const job = live.jobs[index] as Waiting;
      clock.nowMs = job.arrivedMs;
      const { id, priority, runMs, workingMiB } = job;
      const { key, weight: keyWeight } = live.share;
      const own = { id, group, key, keyWeight, priority, runMs, workingMiB };
      const copy = scheduler.arrive(own);
      takeFigures(copy, job);
      copies.push(copy);
      jobs.set(id, copy);
      liveJobs.set(copy, job);
    }
    const line = copies[0]?.line;
    if (!line) return;
    takeFigures(line, live);
    line.head = 0;
    // `start_by` makes a job urgent earlier than its arrival tells: the live order counts.
    line.jobs.length = 0;
    for (const copy of copies) line.jobs.push(copy);
    shares.set(live.share, line.share);
  }

  /** It has left the queue: its line holds nothing and is there for its share. */
  function copyRunning({ job, place }: Running): Running {
    const known = shares.get(job.line.share);
    const share = known ?? { ...job.line.share };
    shares.set(job.line.share, share);
    const line: Line = { ...job.line, share, jobs: [], head: 0 };
    return { job: { ...job, group: groupOf(job.group), line }, place: placeOf(place) };
  }

  for (const device of view.devices) deviceOf(device);
  // In the live order, because a policy may take the first of several equal ones.
  for (const live of view.groups) {
    const group = groupOf(live);
    for (const line of live.lines) copyLine(line, group);
    takeFigures(group, live);
  }
  for (const [live, copy] of shares) takeFigures(copy, live);
  for (const live of input.groups) groupOf(live);
  const running = input.running.map(copyRunning);
  for (const live of view.devices) {
    const device = deviceOf(live);
    for (const place of live.places) device.places.push(placeOf(place));
    const { reservation } = live;
    const job = reservation && jobs.get(reservation.job.id);
    if (!job) continue;
    const victims = reservation.victims.map(placeOf);
    device.reservation = { ...reservation, job, place: placeOf(reservation.place), victims };
  }
  clock.nowMs = nowMs;
  return {
    scheduler,
    placeOf,
    groupOf,
    livePlace,
    liveJob: (job) => liveJobs.get(job) ?? job,
    running,
    jobs,
    submit(arrival) {
      const job = scheduler.arrive({ ...arrival, group: groupOf(arrival.group) });
      const { share, jobs: line } = job.line;
      // A key with nothing waiting has used something all the same, as its running jobs tell.
      for (const { key, usedMs } of shares.keys()) {
        if (key === share.key) share.usedMs = Math.max(share.usedMs, usedMs);
      }
      // The copy counted from zero; the live jobs came first.
      let seq = 0;
      for (const other of jobs.values()) seq = Math.max(seq, other.seq + 1);
      Object.assign(job, { seq });
      line.sort(policy.order === "arrival" ? earlier : moreUrgent);
      return job;
    },
    release() {
      released = true;
      scheduler.reconsider();
    },
  };
}

interface PlaceCopies {
  deviceOf(live: Device): Device;
  placeOf(live: Place): Place;
  livePlace(copy: Place): Place;
}

function copyPlaces(scheduler: Scheduler): PlaceCopies {
  const devices = new Map<Device, Device>();
  const servers = new Set<Server>();
  const places = new Map<Place, Place>();
  const livePlaces = new Map<Place, Place>();

  function deviceOf(live: Device): Device {
    const known = devices.get(live);
    if (known) return known;
    const { name, limitMiB, compute, heavyLimit } = live;
    const copy = scheduler.addDevice({ name, limitMiB, compute, heavyLimit });
    takeFigures(copy, live);
    devices.set(live, copy);
    return copy;
  }

  /** A server comes with all its places, in their order. */
  function copyServer(live: Server): void {
    const { name, slots, frees } = live;
    const server = scheduler.addServer({ name, slots, frees });
    takeFigures(server, live);
    servers.add(live);
    for (const place of live.places) {
      const { model, residentMiB, loadMs } = place;
      const device = deviceOf(place.device);
      const copy = scheduler.addPlace({ server, device, model, residentMiB, loadMs });
      takeFigures(copy, place);
      places.set(place, copy);
      livePlaces.set(copy, place);
    }
  }

  return {
    deviceOf,
    placeOf(live) {
      if (!servers.has(live.server)) copyServer(live.server);
      return places.get(live) as Place;
    },
    livePlace: (copy) => livePlaces.get(copy) as Place,
  };
}

function earlier(a: Waiting, b: Waiting): number {
  return a.seq - b.seq;
}

function moreUrgent(a: Waiting, b: Waiting): number {
  return a.urgentAtMs - b.urgentAtMs || earlier(a, b);
}

/** Numbers, words and flags; what refers to something else would lead back to the live ledger. */
function takeFigures<T extends object>(copy: T, live: T): void {
  for (const key of Object.keys(live) as (keyof T)[]) {
    const value = live[key];
    if (typeof value !== "object" && typeof value !== "function") copy[key] = value;
  }
}
