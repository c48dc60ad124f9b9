/**
 * Devices, time and work for the baselines: what a rule may do (start, load, evict), and how long
 * it takes in both models of computing. Rules decide in baselines.ts; nothing here chooses.
 */
import {
  type Compute,
  HEAVY_MS,
  type Job,
  type ResultLine,
  type Service,
  SHARED_SPEED,
} from "./format.ts";

export interface World {
  readonly services: readonly Service[];
  readonly jobs: readonly Job[];
  readonly devicesMib: readonly number[];
  readonly compute: Compute;
  /** Heavy jobs that may run at once on a device; no limit unless told. */
  readonly heavy?: number;
}

export interface Resident {
  readonly service: number;
  /** False while it loads. */
  ready: boolean;
  readonly readyMs: number;
  running: number;
  /** When it was last loaded, or one of its jobs started or ended. */
  usedMs: number;
}

export interface Device {
  readonly index: number;
  readonly sizeMib: number;
  freeMib: number;
  readonly residents: Map<number, Resident>;
  readonly running: Running[];
  runningHeavy: number;
  loading: number;
  /** A job that waits for this device's load and for no other. */
  bound: Waiting | undefined;
  /** Work that a job present all the time would have got, and when that was so. */
  virtualMs: number;
  virtualAtMs: number;
}

export interface Waiting {
  readonly job: Job;
  readonly service: number;
  /** Its place in the order of arrival. */
  readonly order: number;
}

export interface Running {
  readonly job: Job;
  readonly resident: Resident;
  readonly isHeavy: boolean;
  readonly startMs: number;
  /** The device's virtual time at which it is done. */
  readonly endVirtualMs: number;
}

export interface Machine {
  readonly services: readonly Service[];
  readonly devices: readonly Device[];
  nowMs(): number;
  /** The oldest waiting job of a service, or of all. */
  head(service: number): Waiting | undefined;
  oldest(): Waiting | undefined;
  /** Takes the oldest waiting job of a service out of the queue. */
  take(service: number): Waiting;
  /** Whether a job of the service could start there at once. */
  canStart(device: Device, service: number): boolean;
  start(device: Device, waiting: Waiting): void;
  /** Whether the device could begin a load now, memory aside. */
  canLoad(device: Device): boolean;
  load(device: Device, service: number): void;
  evict(device: Device, service: number): void;
}

/** A rule acts until it has nothing to do, and may ask to be woken when nothing else happens. */
export interface Rule {
  dispatch(machine: Machine): void;
  wakeMs?(machine: Machine): number;
}

/** Runs all jobs under a rule; the lines come in order of time, the summary last. */
export function simulate(world: World, rule: Rule): ResultLine[] {
  const queues = createQueues(world);
  const lines: ResultLine[] = [];
  const devices = world.devicesMib.map(createDevice);
  let now = 0;
  const machine = createMachine(world, devices, queues, lines, () => now);
  const jobs = [...world.jobs].sort((a, b) => a.at_ms - b.at_ms);
  let next = 0;
  let done = 0;
  while (done < jobs.length) {
    const arrival = jobs[next]?.at_ms ?? Number.POSITIVE_INFINITY;
    const ends = devices.map((device) => nextEndMs(device));
    const loads = devices.map((device) => nextReadyMs(device));
    const wake = rule.wakeMs?.(machine) ?? Number.POSITIVE_INFINITY;
    const at = Math.min(arrival, ...ends, ...loads, wake);
    if (at === Number.POSITIVE_INFINITY) {
      throw new Error(`${jobs.length - done} jobs wait and nothing will happen any more.`);
    }
    now = Math.max(now, at);
    devices.forEach((device, index) => {
      if (loads[index] === at) finishLoads(device, now);
      if (ends[index] === at) done += finishJobs(device, now, lines);
    });
    for (let job = jobs[next]; job !== undefined && job.at_ms <= now; job = jobs[next]) {
      queues.add(job, next);
      next++;
    }
    rule.dispatch(machine);
  }
  return [...lines, { type: "summary", jobs: done, end_ms: now }];
}

interface Queues {
  add(job: Job, order: number): void;
  head(service: number): Waiting | undefined;
  take(service: number): Waiting;
}

function createQueues({ services, jobs, devicesMib }: World): Queues {
  const index = new Map(services.map(({ name }, at) => [name, at]));
  const largest = Math.max(...devicesMib);
  for (const { service } of jobs) {
    const found = services[index.get(service) ?? -1];
    if (found === undefined || found.vram_mib > largest) {
      throw new Error(`Service "${service}" is unknown or fits no device of ${devicesMib} MiB.`);
    }
  }
  const lists = services.map((): Waiting[] => []);
  const first = services.map(() => 0);
  return {
    add(job, order) {
      const service = index.get(job.service)!;
      lists[service]!.push({ job, service, order });
    },
    head: (service) => lists[service]![first[service]!],
    take(service) {
      const waiting = lists[service]![first[service]!];
      if (waiting === undefined) throw new Error(`No job waits for ${services[service]?.name}.`);
      first[service] = first[service]! + 1;
      return waiting;
    },
  };
}

function createDevice(sizeMib: number, index: number): Device {
  return {
    index,
    sizeMib,
    freeMib: sizeMib,
    residents: new Map(),
    running: [],
    runningHeavy: 0,
    loading: 0,
    bound: undefined,
    virtualMs: 0,
    virtualAtMs: 0,
  };
}

function createMachine(
  { services, compute, heavy = Number.POSITIVE_INFINITY }: World,
  devices: readonly Device[],
  queues: Queues,
  lines: ResultLine[],
  now: () => number,
): Machine {
  const isLaneTaken = (device: Device) =>
    compute === "lane" && (device.running.length > 0 || device.loading > 0);
  const isHeavy = (service: number) => services[service]!.run_ms > HEAVY_MS;
  const name = (service: number) => services[service]!.name;
  return {
    services,
    devices,
    nowMs: now,
    head: queues.head,
    oldest() {
      let found: Waiting | undefined;
      for (let service = 0; service < services.length; service++) {
        const head = queues.head(service);
        if (head !== undefined && (found === undefined || head.order < found.order)) found = head;
      }
      return found;
    },
    take: queues.take,
    canStart(device, service) {
      const resident = device.residents.get(service);
      if (resident === undefined || !resident.ready || isLaneTaken(device)) return false;
      if (isHeavy(service) && device.runningHeavy >= heavy) return false;
      return resident.running < (services[service]!.slots ?? 1);
    },
    start(device, { job, service }) {
      const resident = device.residents.get(service)!;
      catchUp(device, now());
      const endVirtualMs = device.virtualMs + job.run_ms;
      const running = { job, resident, isHeavy: isHeavy(service), startMs: now(), endVirtualMs };
      device.running.push(running);
      if (running.isHeavy) device.runningHeavy++;
      resident.running++;
      resident.usedMs = now();
    },
    canLoad: (device) => !isLaneTaken(device),
    load(device, service) {
      const { vram_mib, load_ms } = services[service]!;
      if (device.freeMib < vram_mib) throw new Error(`${name(service)} does not fit.`);
      const readyMs = now() + load_ms;
      device.freeMib -= vram_mib;
      device.loading++;
      device.residents.set(service, { service, ready: false, readyMs, running: 0, usedMs: now() });
      const index = device.index;
      const start_ms = now();
      lines.push({
        type: "load",
        service: name(service),
        device: index,
        start_ms,
        end_ms: readyMs,
      });
    },
    evict(device, service) {
      const resident = device.residents.get(service);
      if (resident === undefined || !resident.ready || resident.running > 0) {
        throw new Error(`${name(service)} is not there or not idle.`);
      }
      device.residents.delete(service);
      device.freeMib += services[service]!.vram_mib;
      lines.push({ type: "evict", service: name(service), device: device.index, at_ms: now() });
    },
  };
}

function speedOfEach(device: Device): number {
  return device.running.length <= 1 ? 1 : SHARED_SPEED / device.running.length;
}

function catchUp(device: Device, nowMs: number): void {
  if (device.running.length > 0) {
    device.virtualMs += (nowMs - device.virtualAtMs) * speedOfEach(device);
  }
  device.virtualAtMs = nowMs;
}

function nextEndMs(device: Device): number {
  if (device.running.length === 0) return Number.POSITIVE_INFINITY;
  const left = firstEndVirtualMs(device) - device.virtualMs;
  return device.virtualAtMs + Math.max(0, left) / speedOfEach(device);
}

function firstEndVirtualMs(device: Device): number {
  let least = Number.POSITIVE_INFINITY;
  for (const { endVirtualMs } of device.running) least = Math.min(least, endVirtualMs);
  return least;
}

function nextReadyMs(device: Device): number {
  let least = Number.POSITIVE_INFINITY;
  if (device.loading === 0) return least;
  for (const { ready, readyMs } of device.residents.values()) {
    if (!ready) least = Math.min(least, readyMs);
  }
  return least;
}

function finishLoads(device: Device, nowMs: number): void {
  for (const resident of device.residents.values()) {
    if (resident.ready || resident.readyMs > nowMs) continue;
    resident.ready = true;
    resident.usedMs = nowMs;
    device.loading--;
  }
}

function finishJobs(device: Device, nowMs: number, lines: ResultLine[]): number {
  const virtualMs = firstEndVirtualMs(device);
  device.virtualMs = virtualMs;
  device.virtualAtMs = nowMs;
  let finished = 0;
  for (let at = device.running.length - 1; at >= 0; at--) {
    const { job, resident, isHeavy, startMs, endVirtualMs } = device.running[at]!;
    if (endVirtualMs > virtualMs) continue;
    device.running.splice(at, 1);
    if (isHeavy) device.runningHeavy--;
    resident.running--;
    resident.usedMs = nowMs;
    finished++;
    const { id } = job;
    lines.push({ type: "job", id, device: device.index, start_ms: startMs, end_ms: nowMs });
  }
  return finished;
}
