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
  readonly granted: ReadonlyMap<string, Granted>;
  /** The scheduler's side of a waiting request; undefined when it waits for no device, or not. */
  waiting(jobId: string): Waiting | undefined;
  /** What a waiting or running job asked for. */
  request(jobId: string): LeaseRequest | undefined;
  /** Whether a job waits that goes on with what the backend does already. */
  resumes(backend: string): boolean;
  /** Place among the jobs that need no device; undefined when it is none of them. */
  devicelessPlace(jobId: string): { readonly ahead: number; readonly down: boolean } | undefined;
  readonly size: number;
  /** The waiting jobs of this place cannot be served: its model does not load. */
  fail(place: Place, error: Error): void;
  /** Looks again: something outside has changed. */
  reconsider(): void;
  /** To be called by the scheduler's effects. */
  started(job: Waiting, place: Place): void;
  /** Likewise: the place is being loaded, for whoever waits for it. */
  loading(place: Place): void;
}

export interface AdmissionOptions {
  readonly scheduler: () => Scheduler;
  readonly roster: () => Roster;
  readonly nowMs: () => number;
  /** Whether the first job in a place brings its model with it. */
  readonly isCold: (place: Place) => boolean;
  /** A lease has ended. */
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
  const granted = new Map<string, Granted>();
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
    granted.set(request.jobId, grant);
    let held = true;
    entry.grant({
      jobId: request.jobId,
      backend: server.name,
      device: running?.place.device.name,
      release(end) {
        if (!held) return;
        held = false;
        if (granted.get(request.jobId) === grant) granted.delete(request.jobId);
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

  function enter(entry: Entry): void {
    const { request } = entry;
    const { jobId, choices, resume } = request;
    const priority = resume ? RESUME_PRIORITY : request.priority;
    const needing = choices.filter((choice): choice is Choice => choice.demand !== undefined);
    const roster = options.roster();
    if (needing.length === 0) {
      const servers = choices.flatMap(({ backend }) => roster.servers.get(backend) ?? []);
      const start = (server: Server) => grant(entry, server, undefined);
      entry.deviceless = { id: jobId, servers, priority, start };
      deviceless.add(entry.deviceless);
      deviceless.reconsider();
      return;
    }
    const group = roster.group(needing);
    const [first] = needing;
    if (!group || !first) throw new Error(`no backend is configured for job ${jobId}`);
    const { runMs, workingMiB, residentMiB } = roster.estimate(first.backend, first.demand);
    const largest = Math.max(...group.places.map(({ device }) => device.limitMiB));
    entry.group = group;
    // It may be granted in here.
    entry.job = options.scheduler().arrive({
      id: jobId,
      group,
      key: request.keyId,
      keyWeight: request.keyWeight ?? 1,
      priority,
      runMs,
      // What was learned from running out of memory must not make the job impossible.
      workingMiB: Math.max(0, Math.min(workingMiB, largest - residentMiB)),
      startByMs: request.startByMs,
    });
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
    request: (jobId) => (entries.get(jobId) ?? granted.get(jobId))?.request,
    resumes: (backend) =>
      [...entries.values()].some(
        ({ request: { resume, choices } }) =>
          resume && choices.some((choice) => choice.backend === backend),
      ),
    devicelessPlace(jobId) {
      const job = entries.get(jobId)?.deviceless;
      if (!job) return undefined;
      return { ahead: deviceless.ahead(job), down: !job.servers.some((it) => it.available) };
    },
    fail(place, error) {
      for (const entry of [...entries.values()]) {
        const { group } = entry;
        // Those that can run elsewhere go on waiting for that.
        if (!group?.places.includes(place)) continue;
        if (group.places.some((other) => other !== place && other.server.available)) continue;
        leave(entry);
        entry.refuse(error);
      }
    },
    started(job, place) {
      const entry = entries.get(job.id);
      if (entry) grant(entry, place.server, { job, place });
    },
    loading(place) {
      for (const { group, request } of entries.values()) {
        if (group?.places.includes(place)) request.loading?.();
      }
    },
  };
}
