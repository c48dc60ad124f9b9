/**
 * Leases of external programs: a game, a training script or another tool that wants the card says
 * how much it needs, waits its turn like a job, and gives it back or lets it expire.
 */
import type { Clock } from "../clock.ts";
import { GatewayError } from "../errors.ts";
import type { Ids } from "../ids.ts";
import type { Device, Place, Waiting } from "./ledger.ts";
import type { Running, Scheduler } from "./scheduler.ts";

export interface ExternalLease {
  readonly id: string;
  readonly keyId: string;
  readonly name: string;
  readonly device: string;
  readonly mib: number;
  /** It computes for long: no heavy job runs beside it. */
  readonly heavy: boolean;
  readonly pid?: number;
  readonly state: "waiting" | "granted" | "ended";
  readonly ttlMs: number;
  /** Wall-clock milliseconds. */
  readonly createdAtMs: number;
  readonly grantedAtMs?: number;
  readonly expiresAtMs: number;
}

export interface LeaseAsk {
  readonly keyId: string;
  readonly name: string;
  /** The first device unless said. */
  readonly device?: string;
  readonly mib: number;
  readonly heavy: boolean;
  readonly pid?: number;
  readonly ttlMs: number;
  readonly priority: number;
}

export interface Leases {
  /** Throws VALIDATION_FAILED for an unknown device, INFEASIBLE_VRAM for what can never fit. */
  ask(ask: LeaseAsk): ExternalLease;
  get(id: string): ExternalLease | undefined;
  list(): readonly ExternalLease[];
  /** The lease when it is granted or has ended, or as it is after `waitMs`. */
  settled(id: string, waitMs: number, signal: AbortSignal): Promise<ExternalLease | undefined>;
  /** Starts its time anew; undefined when it has ended. */
  renew(id: string, ttlMs?: number): ExternalLease | undefined;
  /** False when it had ended already. */
  release(id: string): boolean;
  /** Those that are granted, as the scheduler counts them, with the monotonic time of the grant. */
  running(): readonly (Running & { readonly startedAtMs: number })[];
  /** To be called by the scheduler's effects; false when the job is no lease. */
  started(job: Waiting, place: Place): boolean;
  close(): void;
}

export interface LeasesOptions {
  readonly scheduler: () => Scheduler;
  readonly devices: ReadonlyMap<string, Device>;
  readonly clock: Clock;
  readonly ids: Ids;
  /** Expected run of a job that counts as heavy, in milliseconds. */
  readonly heavyMs: number;
}

interface Entry {
  lease: ExternalLease;
  readonly place: Place;
  job?: Waiting;
  running?: Running & { readonly startedAtMs: number };
  expiry?: ReturnType<typeof setTimeout>;
  readonly watchers: Set<() => void>;
}

/** Leases that wait or are held, of everyone. */
const MAX_LEASES = 1_000;
/**
 * Expected run of a lease that is not heavy: it is handed out soon, and no long job lets it finish
 * first, whatever it does with it.
 */
const LIGHT_MS = 1;
/** Of one key. */
const MAX_OWN_LEASES = 32;

export function createLeases(options: LeasesOptions): Leases {
  const { devices, clock, ids, heavyMs } = options;
  const entries = new Map<string, Entry>();
  let closed = false;

  function deviceFor(name: string | undefined, mib: number): Device {
    const device = name === undefined ? [...devices.values()][0] : devices.get(name);
    if (!device) {
      const message = `No device "${name}"; there are: ${[...devices.keys()].join(", ")}`;
      throw new GatewayError("VALIDATION_FAILED", message, {
        details: { errors: [{ field: "/device", message }] },
      });
    }
    if (mib > device.limitMiB) {
      const message =
        `${mib} MiB are asked for and ${device.name} has ${device.limitMiB} MiB: ` +
        `${mib - device.limitMiB} MiB too much`;
      throw new GatewayError("INFEASIBLE_VRAM", message);
    }
    return device;
  }

  function expireIn(entry: Entry, ttlMs: number): void {
    clearTimeout(entry.expiry);
    entry.expiry = setTimeout(() => end(entry), ttlMs);
    entry.expiry.unref();
    entry.lease = { ...entry.lease, ttlMs, expiresAtMs: clock.nowMs() + ttlMs };
  }

  function end(entry: Entry): void {
    const { lease, place, job, running } = entry;
    if (lease.state === "ended") return;
    clearTimeout(entry.expiry);
    entry.lease = { ...lease, state: "ended" };
    entries.delete(lease.id);
    const scheduler = options.scheduler();
    if (running) scheduler.ended(running);
    else if (job) scheduler.withdraw(job);
    if (running?.job.heavy) place.device.openEnded--;
    place.pinned = false;
    scheduler.absent(place);
    for (const watcher of [...entry.watchers]) watcher();
  }

  return {
    ask({ keyId, name, device: wanted, mib, heavy, pid, ttlMs, priority }) {
      if (closed) throw new GatewayError("SHUTTING_DOWN");
      if (entries.size >= MAX_LEASES) {
        throw new GatewayError("QUEUE_FULL", `${MAX_LEASES} leases are held or waited for`);
      }
      const own = [...entries.values()].filter(({ lease }) => lease.keyId === keyId).length;
      if (own >= MAX_OWN_LEASES) {
        throw new GatewayError("QUOTA_EXCEEDED", `This key has ${own} leases, which is its limit`);
      }
      const device = deviceFor(wanted, mib);
      const id = ids.uuid();
      const scheduler = options.scheduler();
      const server = scheduler.addServer({
        name: `lease:${id}`,
        slots: 1,
        frees: "model",
        loadsAhead: false,
      });
      const place = scheduler.addPlace({
        server,
        device,
        model: name,
        residentMiB: mib,
        loadMs: 0,
      });
      const createdAtMs = clock.nowMs();
      const lease: ExternalLease = {
        id,
        keyId,
        name,
        device: device.name,
        mib,
        heavy,
        pid,
        state: "waiting",
        ttlMs,
        createdAtMs,
        expiresAtMs: createdAtMs + ttlMs,
      };
      const entry: Entry = { lease, place, watchers: new Set() };
      entries.set(id, entry);
      expireIn(entry, ttlMs);
      entry.job = scheduler.arrive({
        id,
        group: scheduler.addGroup(`lease:${id}`, [place]),
        key: keyId,
        keyWeight: 1,
        priority,
        runMs: heavy ? heavyMs + 1 : LIGHT_MS,
        workingMiB: 0,
      });
      return entry.lease;
    },
    get: (id) => entries.get(id)?.lease,
    list: () => [...entries.values()].map(({ lease }) => lease),
    running: () => [...entries.values()].flatMap(({ running }) => running ?? []),
    settled(id, waitMs, signal) {
      const entry = entries.get(id);
      const isOver = entry?.lease.state !== "waiting" || signal.aborted || closed;
      if (!entry || isOver) return Promise.resolve(entry?.lease);
      return new Promise((resolve) => {
        const finish = () => {
          clearTimeout(timer);
          entry.watchers.delete(finish);
          signal.removeEventListener("abort", finish);
          resolve(entry.lease);
        };
        const timer = setTimeout(finish, waitMs);
        entry.watchers.add(finish);
        signal.addEventListener("abort", finish, { once: true });
      });
    },
    renew(id, ttlMs) {
      const entry = entries.get(id);
      if (!entry) return undefined;
      expireIn(entry, ttlMs ?? entry.lease.ttlMs);
      return entry.lease;
    },
    release(id) {
      const entry = entries.get(id);
      if (entry) end(entry);
      return entry !== undefined;
    },
    started(job, place) {
      const entry = entries.get(job.id);
      if (!entry) return false;
      entry.running = { job, place, startedAtMs: clock.monotonicMs() };
      if (job.heavy) place.device.openEnded++;
      place.pinned = true;
      // Its time begins with the grant.
      expireIn(entry, entry.lease.ttlMs);
      entry.lease = { ...entry.lease, state: "granted", grantedAtMs: clock.nowMs() };
      for (const watcher of [...entry.watchers]) watcher();
      return true;
    },
    close() {
      closed = true;
      for (const { expiry, watchers } of entries.values()) {
        clearTimeout(expiry);
        for (const watcher of [...watchers]) watcher();
      }
    },
  };
}
