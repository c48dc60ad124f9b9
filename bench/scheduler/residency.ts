/**
 * Who leaves, and nothing else: the requests come in a fixed order on one device, each needs its
 * service resident, and a load costs its seconds. What is the least anybody could have paid, and
 * what do known rules pay?
 *
 * General caching with sizes and costs is strongly NP-hard in the number of services, but with the
 * dozen or so of one machine the sets of residents that fit can be counted.
 */
import type { Service } from "./format.ts";

export interface ResidencyInstance {
  readonly services: readonly Service[];
  /** The names of the services, in the order in which they are needed. */
  readonly order: readonly string[];
  readonly deviceMib: number;
}

/**
 * `one`: a single resident. `lru`: the longest unused leaves. `landlord`: GreedyDual-Size (Cao and
 * Irani 1997; Young 2002), least L + load / size. `gdsf`: the same times the number of uses.
 * `belady`: the one needed again last. `belady-cost`: the greatest wait until then times size,
 * divided by load. The last two know the future.
 */
export type ResidencyRule = "one" | "lru" | "landlord" | "gdsf" | "belady" | "belady-cost";

const SERVICE_LIMIT = 20;

/** The least total load time in ms, by dynamic programming over the sets of residents that fit. */
export function residencyOptimum(instance: ResidencyInstance): number {
  const { sizes, loads, order } = compile(instance);
  if (sizes.length > SERVICE_LIMIT) {
    throw new Error(`${sizes.length} services are too many; ${SERVICE_LIMIT} is most.`);
  }
  const keeps = createKeeps(sizes, instance.deviceMib);
  let costs = new Map<number, number>([[0, 0]]);
  for (const service of order) {
    const bit = 1 << service;
    const next = new Map<number, number>();
    const offer = (set: number, cost: number) => {
      const known = next.get(set);
      if (known === undefined || cost < known) next.set(set, cost);
    };
    for (const [set, cost] of costs) {
      if ((set & bit) !== 0) {
        offer(set, cost);
      } else {
        // Evictions are free, so to keep a smaller set than one that fits cannot pay.
        for (const kept of keeps(set, service)) offer(kept | bit, cost + loads[service]!);
      }
    }
    costs = next;
  }
  return Math.min(...costs.values());
}

/** What a rule pays for the same order, in ms. */
export function residencyCost(instance: ResidencyInstance, rule: ResidencyRule): number {
  const { sizes, loads, order } = compile(instance);
  const following = nextUses(order, sizes.length);
  const resident = new Set<number>();
  const nextUse = sizes.map(() => Number.POSITIVE_INFINITY);
  const lastUse = sizes.map(() => 0);
  const uses = sizes.map(() => 0);
  const credit = sizes.map(() => 0);
  let floor = 0;
  let free = instance.deviceMib;
  let paid = 0;
  const worth = (service: number, now: number): number => {
    switch (rule) {
      case "one":
      case "lru":
        return lastUse[service]!;
      case "landlord":
      case "gdsf":
        return credit[service]!;
      case "belady":
        return -nextUse[service]!;
      case "belady-cost":
        return loads[service]! / (sizes[service]! * (nextUse[service]! - now));
    }
  };
  order.forEach((service, now) => {
    if (!resident.has(service)) {
      const room = rule === "one" ? instance.deviceMib : sizes[service]!;
      for (const victim of [...resident].sort((a, b) => worth(a, now) - worth(b, now))) {
        if (free >= room) break;
        resident.delete(victim);
        free += sizes[victim]!;
        floor = Math.max(floor, credit[victim]!);
      }
      resident.add(service);
      free -= sizes[service]!;
      paid += loads[service]!;
    }
    uses[service] = uses[service]! + 1;
    lastUse[service] = now + 1;
    nextUse[service] = following[now]!;
    const weight = rule === "gdsf" ? uses[service]! : 1;
    credit[service] = floor + (weight * loads[service]!) / sizes[service]!;
  });
  return paid;
}

interface Compiled {
  readonly sizes: readonly number[];
  readonly loads: readonly number[];
  readonly order: readonly number[];
}

function compile({ services, order, deviceMib }: ResidencyInstance): Compiled {
  const used = services.filter(({ name }) => order.includes(name));
  const index = new Map(used.map(({ name }, at) => [name, at]));
  const large = used.find(({ vram_mib }) => vram_mib > deviceMib);
  if (large !== undefined) {
    throw new Error(`"${large.name}" needs ${large.vram_mib} MiB; the device has ${deviceMib}.`);
  }
  return {
    sizes: used.map(({ vram_mib }) => vram_mib),
    loads: used.map(({ load_ms }) => load_ms),
    order: order.map((name) => {
      const at = index.get(name);
      if (at === undefined) throw new Error(`No service is called "${name}".`);
      return at;
    }),
  };
}

/** For each place of the order, where the same service is needed again. */
function nextUses(order: readonly number[], services: number): Float64Array {
  const after = new Float64Array(order.length);
  const seen = new Array<number>(services).fill(Number.POSITIVE_INFINITY);
  for (let at = order.length - 1; at >= 0; at--) {
    after[at] = seen[order[at]!]!;
    seen[order[at]!] = at;
  }
  return after;
}

/** The maximal subsets of a set that fit beside a service. */
function createKeeps(
  sizes: readonly number[],
  deviceMib: number,
): (set: number, service: number) => readonly number[] {
  const known = new Map<number, readonly number[]>();
  return (set, service) => {
    const key = set * SERVICE_LIMIT + service;
    let found = known.get(key);
    if (found === undefined) {
      found = maximal(set, sizes, deviceMib - sizes[service]!);
      known.set(key, found);
    }
    return found;
  };
}

function maximal(set: number, sizes: readonly number[], room: number): number[] {
  const found: number[] = [];
  // Downwards, so that a set comes before its subsets.
  for (let part = set; ; part = (part - 1) & set) {
    let size = 0;
    for (let left = part; left !== 0; left &= left - 1) {
      size += sizes[31 - Math.clz32(left & -left)]!;
    }
    if (size <= room && !found.some((larger) => (larger & part) === part)) found.push(part);
    if (part === 0) return found;
  }
}
