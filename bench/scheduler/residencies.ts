/** The judge's look at memory: when which service was on which device, and whether it fitted. */

import { type Court, keyOf } from "./court.ts";
import type { EvictLine, LoadLine, ResultLine } from "./format.ts";

/** One stay of a service on a device. */
export interface Copy {
  readonly service: string;
  readonly device: number;
  readonly startMs: number;
  readonly readyMs: number;
  /** Infinity if it stays to the end. */
  evictedMs: number;
  served: number;
}

/** The stays of each service on each device, in order of time. */
export function openCopies(court: Court, sound: readonly ResultLine[]): Map<string, Copy[]> {
  const loads = Map.groupBy(sound.filter(isLoad), place);
  const evicts = Map.groupBy(sound.filter(isEvict), place);
  const copies = new Map<string, Copy[]>();
  for (const key of new Set([...loads.keys(), ...evicts.keys()])) {
    copies.set(key, pair(court, loads.get(key) ?? [], evicts.get(key) ?? []));
  }
  checkMemory(court, [...copies.values()].flat());
  return copies;
}

/** Loads and evictions of one service on one device must take turns. */
function pair(court: Court, loads: readonly LoadLine[], evicts: readonly EvictLine[]): Copy[] {
  const loading = [...loads].sort((a, b) => a.start_ms - b.start_ms);
  const leaving = [...evicts].sort((a, b) => a.at_ms - b.at_ms);
  const copies: Copy[] = [];
  let open: Copy | undefined;
  while (loading.length > 0 || leaving.length > 0) {
    const load = loading[0];
    const evict = leaving[0];
    if (evict !== undefined && isBefore(evict, load, open !== undefined)) {
      leaving.shift();
      close(court, open, evict);
      open = undefined;
    } else if (load !== undefined) {
      loading.shift();
      if (open !== undefined) {
        court.charge("memory", `loaded twice without an eviction: ${JSON.stringify(load)}`);
      }
      open = opened(court, load);
      copies.push(open);
    }
  }
  return copies;
}

/** At the same time, what is there leaves first; what is not there comes first. */
function isBefore(evict: EvictLine, load: LoadLine | undefined, isOpen: boolean): boolean {
  if (load === undefined || evict.at_ms < load.start_ms) return true;
  return evict.at_ms === load.start_ms && isOpen;
}

function opened(court: Court, { service, device, start_ms, end_ms }: LoadLine): Copy {
  const wantedMs = court.servicesByName.get(service)?.load_ms ?? 0;
  if (Math.abs(end_ms - start_ms - wantedMs) > court.toleranceMs) {
    court.charge(
      "load-time",
      `the load of ${service} at ${start_ms} took ${end_ms - start_ms}, not ${wantedMs}`,
    );
  }
  return {
    service,
    device,
    startMs: start_ms,
    readyMs: end_ms,
    evictedMs: Number.POSITIVE_INFINITY,
    served: 0,
  };
}

function close(court: Court, open: Copy | undefined, evict: EvictLine): void {
  if (open === undefined) {
    court.charge("eviction", `not resident: ${JSON.stringify(evict)}`);
    return;
  }
  open.evictedMs = evict.at_ms;
  if (evict.at_ms < open.readyMs - court.toleranceMs) {
    court.charge("eviction", `it still loads, until ${open.readyMs}: ${JSON.stringify(evict)}`);
  }
}

function checkMemory(court: Court, copies: readonly Copy[]): void {
  for (const [device, group] of Map.groupBy(copies, (copy) => copy.device)) {
    const roomMib = (court.devicesMib[device] ?? 0) - (court.headroomMib ?? 0);
    const changes = group.flatMap(({ service, startMs, evictedMs }) => {
      const mib = court.servicesByName.get(service)?.vram_mib ?? 0;
      return [
        { atMs: startMs, mib },
        { atMs: evictedMs - court.toleranceMs, mib: -mib },
      ];
    });
    changes.sort((a, b) => (a.atMs === b.atMs ? a.mib - b.mib : a.atMs < b.atMs ? -1 : 1));
    let usedMib = 0;
    for (const { atMs, mib } of changes) {
      usedMib += mib;
      if (usedMib <= roomMib || mib < 0) continue;
      court.charge("memory", `${usedMib} of ${roomMib} MiB used on device ${device} at ${atMs}`);
    }
  }
}

function place({ device, service }: LoadLine | EvictLine): string {
  return keyOf(device, service);
}

function isLoad(line: ResultLine): line is LoadLine {
  return line.type === "load";
}

function isEvict(line: ResultLine): line is EvictLine {
  return line.type === "evict";
}
