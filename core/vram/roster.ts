/**
 * The configured devices and backends as the scheduler knows them: servers, places and groups,
 * made when they are first asked for.
 */
import type { VramCost } from "../sdk/plugin.ts";
import { type CostBook, type Estimate, sizeBucket } from "./costs/cost-book.ts";
import type { Device, Group, Place, Server } from "./ledger.ts";
import type { BackendPort } from "./ports.ts";
import type { Scheduler } from "./scheduler.ts";

/** One way to run a job. */
export interface Choice {
  readonly backend: string;
  /** What the job asks of the backend's device. */
  readonly demand: VramCost;
}

export interface Roster {
  readonly devices: ReadonlyMap<string, Device>;
  readonly servers: ReadonlyMap<string, Server>;
  /** Those that ever held a model. */
  places(): readonly Place[];
  port(backend: string): BackendPort | undefined;
  /** Undefined when none of the backends is configured. */
  group(choices: readonly Choice[]): Group | undefined;
  /** The place of a backend's model, made when it is not known yet. */
  place(backend: string, model: string, residentMiB: number): Place | undefined;
  estimate(backend: string, demand: VramCost): Estimate;
}

export interface RosterOptions {
  readonly scheduler: Scheduler;
  readonly devices: ReadonlyMap<string, Device>;
  readonly backends: readonly BackendPort[];
  readonly costs: CostBook;
}

/** Above this number of groups the ones that nobody uses are forgotten. */
const MAX_GROUPS = 2_000;

export function createRoster(options: RosterOptions): Roster {
  const { scheduler, devices, backends, costs } = options;
  const ports = new Map(backends.map((port) => [port.name, port]));
  const servers = new Map<string, Server>();
  const places = new Map<string, Place>();
  const groups = new Map<string, Group>();
  for (const { name, concurrency, frees, load } of backends) {
    const loadsAhead = load !== undefined;
    servers.set(name, scheduler.addServer({ name, slots: concurrency, frees, loadsAhead }));
  }

  function estimate(backend: string, demand: VramCost): Estimate {
    const { model, residentMiB, workingMiB, loadMs, runMs, size } = demand;
    const key = { backend, model, bucket: sizeBucket(size) };
    return costs.estimate(key, { residentMiB, workingMiB, loadMs, runMs });
  }

  function placeOf(backend: string, model: string, device: Device, residentMiB: number) {
    const server = servers.get(backend);
    if (!server) return undefined;
    const name = JSON.stringify([backend, model, device.name]);
    const known = places.get(name);
    if (known) {
      // What stands there was counted as it was; the next load counts what was learned since.
      if (known.state === "absent") known.residentMiB = residentMiB;
      return known;
    }
    const place = scheduler.addPlace({ server, device, model, residentMiB, loadMs: 0 });
    places.set(name, place);
    return place;
  }

  function placeFor({ backend, demand }: Choice): Place | undefined {
    const port = ports.get(backend);
    if (!port) return undefined;
    const device = devices.get(port.device);
    if (!device) return undefined;
    const { residentMiB, loadMs } = estimate(backend, demand);
    const place = placeOf(backend, demand.model, device, Math.min(residentMiB, device.limitMiB));
    if (place) place.loadMs = loadMs;
    return place;
  }

  function prune(): void {
    for (const [name, group] of groups) {
      if (group.size > 0 || group.places.some(({ state }) => state !== "absent")) continue;
      groups.delete(name);
      for (const place of group.places) remove(place.groups, group);
    }
    for (const [name, place] of places) {
      if (place.groups.length > 0 || place.state !== "absent") continue;
      places.delete(name);
      remove(place.server.places as Place[], place);
    }
  }

  return {
    devices,
    servers,
    places: () => [...places.values()],
    port: (backend) => ports.get(backend),
    estimate,
    group(choices) {
      const found = choices.flatMap((choice) => placeFor(choice) ?? []);
      if (found.length === 0) return undefined;
      const name = JSON.stringify(
        found.map(({ server, model, device }) => [server.name, model, device.name]),
      );
      const known = groups.get(name);
      if (known) return known;
      if (groups.size >= MAX_GROUPS) prune();
      const group = scheduler.addGroup(name, found);
      groups.set(name, group);
      return group;
    },
    place(backend, model, residentMiB) {
      const device = devices.get(ports.get(backend)?.device ?? "");
      return device && placeOf(backend, model, device, residentMiB);
    },
  };
}

function remove<T>(list: T[], item: T): void {
  const index = list.indexOf(item);
  if (index >= 0) list.splice(index, 1);
}
