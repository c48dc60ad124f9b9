/** Which idle residents leave so that another model has room: the least valuable ones. */
import { freeMiB, type Place } from "../ledger.ts";
import { isFresh, isIdle, pending } from "./fits.ts";

export interface VictimRules {
  readonly nowMs: number;
  /** Those that have not served yet may leave too: when nothing else goes on. */
  readonly evenFresh?: boolean;
  /** Residents that others wait for may leave too when this says so. */
  mayLeave(place: Place): boolean;
  /** Lowest leaves first. */
  value(place: Place): number;
}

/** Added to the value of what somebody waits for: it leaves after everything else. */
export const PENDING_PREMIUM = 1e9;
/** Greatest number of residents for which every set of victims is looked at. */
const EXACT_UP_TO = 8;

/**
 * The victims that make `needMiB` free on the place's device: none when it is free already,
 * undefined when the residents that may leave do not suffice.
 */
export function chooseVictims(
  place: Place,
  needMiB: number,
  rules: VictimRules,
): readonly Place[] | undefined {
  const missingMiB = needMiB - freeMiB(place.device);
  if (missingMiB <= 0) return [];
  const mayGo = (it: Place) =>
    isIdle(it, rules.nowMs) &&
    (rules.evenFresh === true || !isFresh(it)) &&
    (it === place || rules.mayLeave(it));
  return cheapest(bundles(place, mayGo), missingMiB, rules.value);
}

interface Bundle {
  readonly places: readonly Place[];
  readonly mib: number;
}

/** A server that frees everything at once leaves as a whole, or not at all. */
function bundles(beneficiary: Place, mayGo: (place: Place) => boolean): Bundle[] {
  const { device } = beneficiary;
  const found: Bundle[] = [];
  for (const place of device.places) {
    const { server } = place;
    if (!mayGo(place)) continue;
    if (server.frees === "model") {
      if (place !== beneficiary) found.push({ places: [place], mib: mibOf(place) });
      continue;
    }
    const together = server.places.filter(({ state }) => state !== "absent");
    const here = together.filter((it) => it.device === device);
    if (here[0] !== place || !together.every(mayGo)) continue;
    // When room is made beside a model of its own, that one goes too and comes back.
    const gained = here.filter((it) => it !== beneficiary);
    const mib = gained.reduce((sum, it) => sum + mibOf(it), 0);
    if (mib > 0) found.push({ places: together, mib });
  }
  return found;
}

/** What is free when it has left. */
function mibOf({ residentMiB, keptMiB }: Place): number {
  return residentMiB + keptMiB;
}

function cheapest(
  found: readonly Bundle[],
  missingMiB: number,
  value: (place: Place) => number,
): readonly Place[] | undefined {
  let sum = 0;
  for (const { mib } of found) sum += mib;
  if (sum < missingMiB) return undefined;
  const priced = found.map((bundle) => ({ bundle, value: worth(bundle, value) }));
  priced.sort((a, b) => a.value - b.value);
  const chosen =
    priced.length <= EXACT_UP_TO ? exact(priced, missingMiB) : greedy(priced, missingMiB);
  return chosen.flatMap(({ places }) => places);
}

interface Priced {
  readonly bundle: Bundle;
  readonly value: number;
}

function worth({ places }: Bundle, value: (place: Place) => number): number {
  let sum = 0;
  for (const place of places) sum += value(place);
  return sum;
}

/** Of all sets that suffice the one of least value; there are at most 2^EXACT_UP_TO. */
function exact(priced: readonly Priced[], missingMiB: number): Bundle[] {
  let best = 0;
  let bestValue = Number.POSITIVE_INFINITY;
  for (let set = 1; set < 1 << priced.length; set++) {
    let mib = 0;
    let value = 0;
    for (let index = 0; index < priced.length; index++) {
      if ((set & (1 << index)) === 0) continue;
      const item = priced[index] as Priced;
      mib += item.bundle.mib;
      value += item.value;
    }
    if (mib < missingMiB || value >= bestValue) continue;
    best = set;
    bestValue = value;
  }
  return priced.filter((_, index) => (best & (1 << index)) !== 0).map(({ bundle }) => bundle);
}

/** The least valuable first until it suffices; then those that turn out superfluous stay. */
function greedy(priced: readonly Priced[], missingMiB: number): Bundle[] {
  const chosen: Bundle[] = [];
  let mib = 0;
  for (const { bundle } of priced) {
    if (mib >= missingMiB) break;
    chosen.push(bundle);
    mib += bundle.mib;
  }
  for (let index = chosen.length - 1; index >= 0; index--) {
    const bundle = chosen[index] as Bundle;
    if (mib - bundle.mib < missingMiB) continue;
    mib -= bundle.mib;
    chosen.splice(index, 1);
  }
  return chosen;
}

/** GDSF value, with a premium on what somebody waits for: those leave last. */
export function keepValue(place: Place): number {
  return pending(place) > 0 ? place.value + PENDING_PREMIUM : place.value;
}
