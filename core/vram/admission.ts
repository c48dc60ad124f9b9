/** The port through which jobs reach the scheduler: they ask for a lease and wait for it. */
import type { VramCost } from "../sdk/plugin.ts";
import { createDevicelessQueue, type DevicelessJob } from "./deviceless.ts";
import type { Group, Place, Server, Waiting } from "./ledger.ts";
import type { Choice, Roster } from "./roster.ts";
import type { Running, Scheduler } from "./scheduler.ts";

export interface LeaseRequest {
  readonly jobId: string;
  readonly keyId: string;
  /** The part of the devices that the key gets, compared with others; 1 unless said. */
  readonly keyWeight?: number;
  /** The backends that may do it, and what each asks of its device. At least one. */
  readonly choices: readonly { readonly backend: string; readonly demand?: VramCost }[];
  /** 0 to 9, 9 first. */
  readonly priority: number;
  /** True for work that was running when the gateway stopped: it goes first. */
  readonly resume: boolean;
  /** Monotonic milliseconds at which the job fails when it has not begun. */
  readonly startByMs?: number;
  /** Its model is on its way onto a device. */
  readonly loading?: () => void;
}

/** The right to compute, until released. */
export interface Lease {
  readonly jobId: string;
  readonly backend: string;
  /** The device that the job computes on; undefined when it needs none. */
  readonly device?: string;
  /** Idempotent. */
  release(end?: LeaseEnd): void;
}

/** How the work ended, as far as it teaches what such work costs. */
export type LeaseEnd = "completed" | "failed" | "out_of_memory";

export interface Shortage {
  readonly device: string;
  readonly neededMiB: number;
  readonly availableMiB: number;
}

/** A lease that was granted and is not released. */
export interface Granted {
  readonly request: LeaseRequest;
  readonly backend: string;
  readonly startedAtMs: number;
  /** Undefined when the job needs no device. */
  readonly running?: Running;
  /** The server loads by itself with this job. */
  readonly cold: boolean;
}

export interface Admission {
  /** Undefined, or why the demand can never be met. */
  shortage(backend: string, demand: VramCost): Shortage | undefined;
  /**
   * Settles with the grant; rejects with the signal's reason, or with the error for which its model
   * could not be loaded. Then nothing was granted.
   */
  acquire(request: LeaseRequest, signal: AbortSignal): Promise<Lease>;
  /** A job may have two: one of an attempt that still settles, and one of the next. */
  readonly granted: ReadonlySet<Granted>;
  /** The scheduler's side of a waiting request; undefined when it waits for no device, or not. */
  waiting(jobId: string): Waiting | undefined;
  /** What a waiting or running job asked for. */
  request(jobId: string): LeaseRequest | undefined;
  /** Whether a job waits that goes on with what the backend does already. */
  resumes(backend: string): boolean;
  /** The model of such a job. */
  resumedModel(backend: string): string | undefined;
  /** Place among the jobs that need no device; undefined when it is none of them. */
  devicelessPlace(jobId: string): { readonly ahead: number; readonly down: boolean } | undefined;
  readonly size: number;
  /** The waiting jobs of this place cannot be served: it does not load, and no other may. */
  fail(place: Place, error: Error, isHopeless: (other: Place) => boolean): void;
  /** It is larger than was expected: jobs that wait for it may have to claim less beside it. */
  found(place: Place): void;
  /** Looks again: something outside has changed. */
  reconsider(): void;
  /** To be called by the scheduler's effects; false when nobody waits for the job any more. */
  started(job: Waiting, place: Place): boolean;
  /** Likewise: the place is being loaded, for whoever waits for it. */
  loading(place: Place): void;
}

export interface AdmissionOptions {
  readonly scheduler: () => Scheduler;
  readonly roster: () => Roster;
  readonly nowMs: () => number;
  /** Whether the first job in a place brings its model with it. */
  readonly isCold: (place: Place) => boolean;
  /** Starts the server of a job that needs no device; undefined when it runs already. */
  readonly wake: (server: Server) => Promise<void> | undefined;
  /** A lease has ended; must not throw. */
  readonly ended: (granted: Granted, end: LeaseEnd | undefined) => void;
}

interface Entry {
  readonly request: LeaseRequest;
  readonly grant: (lease: Lease) => void;
  readonly refuse: (error: unknown) => void;
  /** Where it can run, known before it waits there. */
  group?: Group;
  job?: Waiting;
  deviceless?: DevicelessJob;
}

/** Interrupted work goes before every priority. */
const RESUME_PRIORITY = 12;

export function createAdmission(options: AdmissionOptions): Admission {
  const { nowMs } = options;
  const entries = new Map<string, Entry>();
  const granted = new Set<Granted>();
  const deviceless = createDevicelessQueue();

  function grant(entry: Entry, server: Server, running: Running | undefined): void {
    const { request } = entry;
    entries.delete(request.jobId);
    const grant: Granted = {
      request,
      backend: server.name,
      startedAtMs: nowMs(),
      running,
      cold: running !== undefined && options.isCold(running.place),
    };
    granted.add(grant);
    let held = true;
    entry.grant({
      jobId: request.jobId,
      backend: server.name,
      device: running?.place.device.name,
      release(end) {
        if (!held) return;
        held = false;
        granted.delete(grant);
        options.ended(grant, end);
        if (running) options.scheduler().ended(running);
        else server.running--;
        reconsider();
      },
    });
  }

  function reconsider(): void {
    deviceless.reconsider();
    options.scheduler().reconsider();
  }

  /** The slot is taken; its server may have to be started first. */
  function wakeFor(entry: Entry, server: Server): void {
    const { request } = entry;
    const waking = options.wake(server);
    if (!waking) {
      grant(entry, server, undefined);
      return;
    }
    request.loading?.();
    const isWaiting = () => entries.get(request.jobId) === entry;
    const giveBack = () => {
      server.running--;
      reconsider();
    };
    waking.then(
      () => (isWaiting() ? grant(entry, server, undefined) : giveBack()),
      (error) => {
        if (isWaiting()) {
          leave(entry);
          entry.refuse(error);
        }
        giveBack();
      },
    );
  }

  function enter(entry: Entry): void {
    const { request } = entry;
    const { jobId, choices, resume } = request;
    const priority = resume ? RESUME_PRIORITY : request.priority;
    const needing = choices.filter((choice): choice is Choice => choice.demand !== undefined);
    const roster = options.roster();
    if (needing.length === 0) {
      const servers = choices.flatMap(({ backend }) => roster.servers.get(backend) ?? []);
      const start = (server: Server) => wakeFor(entry, server);
      entry.deviceless = { id: jobId, servers, priority, start };
      deviceless.add(entry.deviceless);
      deviceless.reconsider();
      return;
    }
    const group = roster.group(needing);
    const [first] = needing;
    if (!group || !first) throw new Error(`no backend is configured for job ${jobId}`);
    const { runMs, workingMiB } = roster.estimate(first.backend, first.demand);
    entry.group = group;
    // It may be granted in here.
    entry.job = options.scheduler().arrive({
      id: jobId,
      group,
      key: request.keyId,
      keyWeight: request.keyWeight ?? 1,
      priority,
      runMs,
      // What was learned or found since it was accepted must not make the job impossible.
      workingMiB: Math.min(workingMiB, roomBeside(group)),
      startByMs: request.startByMs,
    });
  }

  function resumed(backend: string): LeaseRequest["choices"][number] | undefined {
    for (const { request } of entries.values()) {
      // It goes on where it was; the others are for an attempt anew.
      const [choice] = request.choices;
      if (request.resume && choice?.backend === backend) return choice;
    }
    return undefined;
  }

  function leave(entry: Entry): void {
    entries.delete(entry.request.jobId);
    if (entry.deviceless) deviceless.remove(entry.deviceless);
    if (entry.job) options.scheduler().withdraw(entry.job);
  }

  return {
    granted,
    reconsider,
    get size() {
      return entries.size;
    },
    shortage(backend, demand) {
      const roster = options.roster();
      const device = roster.devices.get(roster.port(backend)?.device ?? "");
      const estimate = roster.estimate(backend, demand);
      const expectedMiB = estimate.residentMiB + estimate.workingMiB;
      // What running out of memory once has taught is a reason for room, not for refusing for ever.
      const declaredMiB = demand.residentMiB + demand.workingMiB;
      const isFixed = estimate.source === "operator";
      const neededMiB = isFixed ? expectedMiB : Math.min(expectedMiB, declaredMiB);
      if (!device || neededMiB <= device.limitMiB) return undefined;
      return { device: device.name, neededMiB, availableMiB: device.limitMiB };
    },
    acquire(request, signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const abort = () => {
          leave(entry);
          reject(signal.reason);
        };
        const settle = () => signal.removeEventListener("abort", abort);
        const entry: Entry = {
          request,
          grant(lease) {
            settle();
            resolve(lease);
          },
          refuse(error) {
            settle();
            reject(error);
          },
        };
        signal.addEventListener("abort", abort, { once: true });
        entries.set(request.jobId, entry);
        try {
          enter(entry);
        } catch (error) {
          entries.delete(request.jobId);
          entry.refuse(error);
        }
      });
    },
    waiting: (jobId) => entries.get(jobId)?.job,
    request: (jobId) =>
      (entries.get(jobId) ?? [...granted].findLast((it) => it.request.jobId === jobId))?.request,
    resumes: (backend) => resumed(backend) !== undefined,
    resumedModel: (backend) => resumed(backend)?.demand?.model,
    devicelessPlace(jobId) {
      const job = entries.get(jobId)?.deviceless;
      if (!job) return undefined;
      return { ahead: deviceless.ahead(job), down: !job.servers.some((it) => it.available) };
    },
    fail(place, error, isHopeless) {
      // Those that can run elsewhere go on waiting for that.
      const isLost = ({ group }: Entry) =>
        group?.places.includes(place) &&
        !group.places.some((it) => it !== place && it.server.available && !isHopeless(it));
      const lost = [...entries.values()].filter(isLost);
      options.scheduler().together(() => lost.forEach(leave));
      for (const entry of lost) entry.refuse(error);
    },
    found(place) {
      const isCramped = ({ group, job }: Entry) =>
        job && group?.places.includes(place) && job.workingMiB > roomBeside(group);
      // Nobody starts in between, so that all of them still wait.
      options.scheduler().together(() => {
        for (const entry of [...entries.values()].filter(isCramped)) {
          if (entry.job) options.scheduler().withdraw(entry.job);
          enter(entry);
        }
      });
    },
    started(job, place) {
      const entry = entries.get(job.id);
      if (entry) grant(entry, place.server, { job, place });
      return entry !== undefined;
    },
    loading(place) {
      for (const { group, request } of entries.values()) {
        if (group?.places.includes(place)) request.loading?.();
      }
    },
  };
}

/** MiB that a job can claim beside its model, in the place with the most room. */
function roomBeside({ places }: Group): number {
  const rooms = places.map(({ device, residentMiB }) => device.limitMiB - residentMiB);
  return Math.max(0, ...rooms);
}
