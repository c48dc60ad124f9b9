/**
 * Who may compute now. This is the first policy behind the port that the VRAM planner will fill:
 * one GPU-heavy job at a time on a device, and on each backend as many jobs as it is configured
 * for.
 */
import type { VramCost } from "../sdk/plugin.ts";

export interface LeaseRequest {
  readonly jobId: string;
  readonly backend: string;
  /** What the job asks of its device; undefined when it needs no GPU. */
  readonly demand?: VramCost;
  /** 0 to 9, 9 first. */
  readonly priority: number;
  /** True for work that was running when the gateway stopped: it goes first. */
  readonly resume: boolean;
}

/** The right to compute, until released. */
export interface Lease {
  readonly jobId: string;
  /** The device that the job computes on; undefined when it needs none. */
  readonly device?: string;
  /** Idempotent. */
  release(): void;
}

export type WaitReason = "device_busy" | "backend_busy" | "backend_down";

export interface Waiting {
  /** Requests that will be granted before this one, as things stand. */
  readonly ahead: number;
  readonly reason: WaitReason;
}

export interface Shortage {
  readonly device: string;
  readonly neededMiB: number;
  readonly availableMiB: number;
}

export interface Admission {
  /** Undefined, or why the demand can never be met. */
  shortage(backend: string, demand: VramCost): Shortage | undefined;
  /** Settles with the grant; rejects with the signal's reason, and then nothing was granted. */
  acquire(request: LeaseRequest, signal: AbortSignal): Promise<Lease>;
  /** Undefined when the job does not wait here. */
  waiting(jobId: string): Waiting | undefined;
  /** Looks again: something outside has changed, a backend came up for example. */
  reconsider(): void;
  devices(): readonly DeviceState[];
}

export interface DeviceState {
  readonly name: string;
  readonly memoryMiB?: number;
  /** The job that computes there now. */
  readonly jobId?: string;
}

/** What the policy must know of a backend; undefined when it is not configured any more. */
export interface BackendLimits {
  readonly device: string;
  readonly concurrency: number;
  readonly available: boolean;
}

export interface LaneOptions {
  readonly devices: Readonly<Record<string, { readonly memoryMiB?: number }>>;
  readonly backend: (name: string) => BackendLimits | undefined;
}

interface Entry {
  readonly request: LeaseRequest;
  readonly grant: (lease: Lease) => void;
}

export function createLaneAdmission({ devices, backend }: LaneOptions): Admission {
  /** Waiting requests in the order of their grants: one list per backend and device. */
  const queues = new Map<string, Entry[]>();
  const entries = new Map<string, Entry>();
  const computing = new Map<string, string>();
  const active = new Map<string, number>();

  const deviceOf = (request: LeaseRequest) => request.demand && backend(request.backend)?.device;
  const queueName = (request: LeaseRequest) => `${request.backend} ${deviceOf(request) ?? ""}`;

  function obstacle(request: LeaseRequest): WaitReason | undefined {
    const limits = backend(request.backend);
    if (!limits?.available) return "backend_down";
    if ((active.get(request.backend) ?? 0) >= limits.concurrency) return "backend_busy";
    return request.demand && computing.has(limits.device) ? "device_busy" : undefined;
  }

  function remove(entry: Entry): void {
    const name = queueName(entry.request);
    const queue = queues.get(name) ?? [];
    const index = placeIn(queue, entry.request);
    if (queue[index] === entry) queue.splice(index, 1);
    if (queue.length === 0) queues.delete(name);
    entries.delete(entry.request.jobId);
  }

  function lease({ jobId, backend: name }: LeaseRequest, device: string | undefined): Lease {
    let held = true;
    active.set(name, (active.get(name) ?? 0) + 1);
    if (device) computing.set(device, jobId);
    return {
      jobId,
      device,
      release() {
        if (!held) return;
        held = false;
        active.set(name, (active.get(name) ?? 1) - 1);
        if (device) computing.delete(device);
        pump();
      },
    };
  }

  function pump(): void {
    for (;;) {
      let next: Entry | undefined;
      for (const [head] of queues.values()) {
        if (!head || obstacle(head.request)) continue;
        if (!next || before(head.request, next.request)) next = head;
      }
      if (!next) return;
      const device = deviceOf(next.request);
      remove(next);
      next.grant(lease(next.request, device));
    }
  }

  return {
    shortage(name, demand) {
      const device = backend(name)?.device;
      const availableMiB = device === undefined ? undefined : devices[device]?.memoryMiB;
      const neededMiB = demand.residentMiB + demand.workingMiB;
      if (!device || availableMiB === undefined || neededMiB <= availableMiB) return undefined;
      return { device, neededMiB, availableMiB };
    },
    acquire(request, signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const abort = () => {
          remove(entry);
          reject(signal.reason);
        };
        const entry: Entry = {
          request,
          grant(granted) {
            signal.removeEventListener("abort", abort);
            resolve(granted);
          },
        };
        signal.addEventListener("abort", abort, { once: true });
        insert(queues, queueName(request), entry);
        entries.set(request.jobId, entry);
        pump();
      });
    },
    waiting(jobId) {
      const entry = entries.get(jobId);
      if (!entry) return undefined;
      const { request } = entry;
      const device = deviceOf(request);
      let ahead = 0;
      // A queue's requests have the same backend and device, so its head speaks for all of them.
      for (const queue of queues.values()) {
        const other = queue[0]?.request;
        if (!other) continue;
        const isRival = other.backend === request.backend || (device && deviceOf(other) === device);
        if (isRival) ahead += placeIn(queue, request);
      }
      return { ahead, reason: obstacle(request) ?? "backend_busy" };
    },
    reconsider: pump,
    devices: () =>
      Object.entries(devices).map(([name, { memoryMiB }]) => ({
        name,
        memoryMiB,
        jobId: computing.get(name),
      })),
  };
}

/** Interrupted work first, then the higher priority, then the older job (UUIDv7 sorts by age). */
function before(a: LeaseRequest, b: LeaseRequest): boolean {
  if (a.resume !== b.resume) return a.resume;
  return a.priority === b.priority ? a.jobId < b.jobId : a.priority > b.priority;
}

function insert(queues: Map<string, Entry[]>, name: string, entry: Entry): void {
  const queue = queues.get(name) ?? [];
  queues.set(name, queue);
  queue.splice(placeIn(queue, entry.request), 0, entry);
}

/** How many of the queue come before the request: its index, when it stands there. */
function placeIn(queue: readonly Entry[], request: LeaseRequest): number {
  let low = 0;
  let high = queue.length;
  // Most arrivals belong at the end.
  const last = queue.at(-1);
  if (last && before(last.request, request)) return high;
  while (low < high) {
    const middle = (low + high) >> 1;
    const there = queue[middle];
    if (there && before(there.request, request)) low = middle + 1;
    else high = middle;
  }
  return low;
}
