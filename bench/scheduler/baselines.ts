/**
 * What is done today, as rules for machine.ts, reproduced from the sources of those programs (none
 * of them was run).
 *
 * Placement over several devices: the seed rule binds a job that needs a load to one idle device,
 * an empty one first, so that a service may be resident on several. The others know one process per
 * model and so never load a service twice; they take the device with the most free memory, and if
 * none has room, the first one that can make it.
 *
 * None of them knows heavy work: the limit of long jobs per device is ours, so they run without it
 * (and are judged without it) unless the world sets one.
 */
import type { ResultLine } from "./format.ts";
import {
  type Device,
  type Machine,
  type Resident,
  type Rule,
  simulate,
  type Waiting,
  type World,
} from "./machine.ts";

export type Baseline = "seed" | "llama-swap" | "ollama" | "packing-lru" | "packing-fifo";

export const BASELINES: readonly Baseline[] = [
  "seed",
  "packing-fifo",
  "llama-swap",
  "ollama",
  "packing-lru",
];

/** What a baseline makes of the jobs, in the lines of the simulator's result file. */
export function runBaseline(baseline: Baseline, world: World): ResultLine[] {
  return simulate(world, RULES[baseline]);
}

/** Ollama's defaults: three models a device, which leave after five idle minutes. */
const OLLAMA_MODELS = 3;
const OLLAMA_KEEP_ALIVE_MS = 300_000;

const RULES: Record<Baseline, Rule> = {
  /** "One service at a time", read plainly: one resident, strict order of arrival. */
  seed: { dispatch: dispatchSeed },

  /** Strict order of arrival with packing: the oldest job blocks until its service has room. */
  "packing-fifo": {
    dispatch(machine) {
      for (let head = machine.oldest(); head !== undefined; head = machine.oldest()) {
        const device = startableDevice(machine, head.service);
        if (device === undefined) {
          // Its order is strict: a resident that only later jobs want may leave.
          if (!isAnywhere(machine, head.service)) loadByLru(machine, head.service, isQuiet);
          return;
        }
        machine.start(device, machine.take(head.service));
      }
    },
  },

  /**
   * llama-swap's default group: one resident. What is for it starts at once, also past older jobs;
   * a swap waits until none of its jobs is left, and is then for the oldest that waits.
   */
  "llama-swap": {
    dispatch(machine) {
      startOnResidents(machine);
      for (const { service } of absentHeads(machine)) {
        const device = machine.devices.find(
          (one) =>
            one.running.length === 0 && one.loading === 0 && fitsEmpty(machine, one, service),
        );
        if (device === undefined) return;
        for (const victim of [...device.residents.keys()]) machine.evict(device, victim);
        machine.load(device, service);
      }
    },
  },

  /**
   * Ollama: jobs of loaded models pass the queue; the oldest of the others blocks the rest; one
   * load at a time; idle models leave in order of name until the new one fits beside the others.
   */
  ollama: {
    dispatch(machine) {
      expireIdle(machine);
      startOnResidents(machine);
      const [head] = absentHeads(machine);
      if (head === undefined || machine.devices.some(({ loading }) => loading > 0)) return;
      if (!machine.devices.some((device) => machine.canLoad(device))) return;
      for (;;) {
        const device = roomiest(machine, head.service, OLLAMA_MODELS);
        if (device !== undefined) {
          machine.load(device, head.service);
          return;
        }
        const victim = firstIdleByName(machine, head.service);
        if (victim === undefined) return;
        machine.evict(victim.device, victim.resident.service);
      }
    },
    wakeMs(machine) {
      let wakeMs = Number.POSITIVE_INFINITY;
      for (const device of machine.devices) {
        for (const resident of device.residents.values()) {
          if (isIdle(machine, resident))
            wakeMs = Math.min(wakeMs, resident.usedMs + OLLAMA_KEEP_ALIVE_MS);
        }
      }
      return wakeMs;
    },
  },

  /**
   * Packing with least recently used victims, residents first (large-model-proxy, a llama-swap
   * matrix): any waiting service loads as soon as it has room, the oldest asking first.
   */
  "packing-lru": {
    dispatch(machine) {
      startOnResidents(machine);
      for (const { service } of absentHeads(machine)) {
        loadByLru(machine, service, (resident) => isIdle(machine, resident));
      }
    },
  },
};

function dispatchSeed(machine: Machine): void {
  for (const device of machine.devices) {
    const { bound } = device;
    if (bound === undefined || !machine.canStart(device, bound.service)) continue;
    device.bound = undefined;
    machine.start(device, bound);
  }
  for (let head = machine.oldest(); head !== undefined; head = machine.oldest()) {
    const { service } = head;
    const open = machine.devices.filter(({ bound }) => bound === undefined);
    const ready = open.find((device) => machine.canStart(device, service));
    if (ready !== undefined) {
      machine.start(ready, machine.take(service));
      continue;
    }
    const idle = open.filter(
      ({ running, loading, sizeMib }) =>
        running.length === 0 && loading === 0 && sizeMib >= sizeOf(machine, service),
    );
    const device = idle.find(({ residents }) => residents.size === 0) ?? idle[0];
    if (device === undefined) return;
    for (const victim of [...device.residents.keys()]) machine.evict(device, victim);
    machine.load(device, service);
    device.bound = machine.take(service);
  }
}

/** Starts whatever needs no load, the oldest first. */
function startOnResidents(machine: Machine): void {
  for (;;) {
    let best: { readonly device: Device; readonly head: Waiting } | undefined;
    for (let service = 0; service < machine.services.length; service++) {
      const head = machine.head(service);
      if (head === undefined || (best !== undefined && best.head.order < head.order)) continue;
      const device = startableDevice(machine, service);
      if (device !== undefined) best = { device, head };
    }
    if (best === undefined) return;
    machine.start(best.device, machine.take(best.head.service));
  }
}

function startableDevice(machine: Machine, service: number): Device | undefined {
  return machine.devices.find((device) => machine.canStart(device, service));
}

function isAnywhere(machine: Machine, service: number): boolean {
  return machine.devices.some(({ residents }) => residents.has(service));
}

/** The oldest waiting job of each service that is nowhere resident or loading, oldest first. */
function absentHeads(machine: Machine): Waiting[] {
  const heads: Waiting[] = [];
  for (let service = 0; service < machine.services.length; service++) {
    const head = machine.head(service);
    if (head !== undefined && !isAnywhere(machine, service)) heads.push(head);
  }
  return heads.sort((a, b) => a.order - b.order);
}

/** Loads where there is room, else where those who may leave can make it; nothing if nowhere. */
function loadByLru(
  machine: Machine,
  service: number,
  mayLeave: (resident: Resident) => boolean,
): void {
  const size = sizeOf(machine, service);
  const roomy = roomiest(machine, service, Number.POSITIVE_INFINITY);
  if (roomy !== undefined) {
    machine.load(roomy, service);
    return;
  }
  const device = machine.devices.find((one) => {
    if (!machine.canLoad(one)) return false;
    const leaving = [...one.residents.values()].filter(mayLeave);
    return leaving.reduce((mib, r) => mib + sizeOf(machine, r.service), one.freeMib) >= size;
  });
  if (device === undefined) return;
  const victims = [...device.residents.values()].filter(mayLeave);
  for (const victim of victims.sort((a, b) => a.usedMs - b.usedMs)) {
    if (device.freeMib >= size) break;
    machine.evict(device, victim.service);
  }
  machine.load(device, service);
}

/** The device with the most free memory that has room for the service now. */
function roomiest(machine: Machine, service: number, models: number): Device | undefined {
  let best: Device | undefined;
  for (const device of machine.devices) {
    const has = device.freeMib >= sizeOf(machine, service) && device.residents.size < models;
    if (!has || !machine.canLoad(device)) continue;
    if (best === undefined || device.freeMib > best.freeMib) best = device;
  }
  return best;
}

function isQuiet(resident: Resident): boolean {
  return resident.ready && resident.running === 0;
}

/** Also nobody waits for it, as somebody may where heavy work is limited. */
function isIdle(machine: Machine, resident: Resident): boolean {
  return isQuiet(resident) && machine.head(resident.service) === undefined;
}

function idleResidents(machine: Machine, device: Device): Resident[] {
  return [...device.residents.values()].filter((resident) => isIdle(machine, resident));
}

function firstIdleByName(
  machine: Machine,
  service: number,
): { readonly device: Device; readonly resident: Resident } | undefined {
  const name = (resident: Resident) => machine.services[resident.service]!.name;
  return machine.devices
    .filter((device) => fitsEmpty(machine, device, service))
    .flatMap((device) => idleResidents(machine, device).map((resident) => ({ device, resident })))
    .sort((a, b) => (name(a.resident) < name(b.resident) ? -1 : 1))[0];
}

function expireIdle(machine: Machine): void {
  for (const device of machine.devices) {
    for (const resident of idleResidents(machine, device)) {
      if (resident.usedMs + OLLAMA_KEEP_ALIVE_MS <= machine.nowMs()) {
        machine.evict(device, resident.service);
      }
    }
  }
}

function fitsEmpty(machine: Machine, device: Device, service: number): boolean {
  return device.sizeMib >= sizeOf(machine, service);
}

function sizeOf(machine: Machine, service: number): number {
  return machine.services[service]!.vram_mib;
}
