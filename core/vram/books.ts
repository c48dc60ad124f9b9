/**
 * The entries of the ledger: how a place changes its state and a job begins and ends, and what that
 * does to the sums. Every sum is kept here and nowhere else, and every entry that takes memory is
 * refused when the memory is not there.
 */
import {
  type Device,
  freeMiB,
  type Place,
  physicalMiB,
  type Server,
  type Waiting,
} from "./ledger.ts";

export type DeviceShape = Pick<Device, "name" | "limitMiB" | "compute" | "heavyLimit">;
export type ServerShape = Pick<Server, "name" | "slots" | "frees"> &
  Partial<Pick<Server, "loadsAhead">>;
export type PlaceShape = Pick<Place, "server" | "device" | "model" | "residentMiB" | "loadMs">;

export function newDevice(shape: DeviceShape, index: number): Device {
  const { name, limitMiB, compute, heavyLimit } = shape;
  return {
    index,
    name,
    limitMiB,
    compute,
    heavyLimit,
    foreignMiB: 0,
    heldMiB: 0,
    leavingMiB: 0,
    promisedMiB: 0,
    running: 0,
    heavyRunning: 0,
    loading: 0,
    places: [],
    inflation: 0,
    starts: 0,
    reservation: undefined,
    reserveAfterMs: -Infinity,
    openEnded: 0,
    heavyUntilMs: 0,
    lightUntilMs: 0,
  };
}

export function newServer({ name, slots, frees, loadsAhead = true }: ServerShape): Server {
  return { name, slots, frees, loadsAhead, running: 0, available: true, places: [] };
}

export function newPlace({ server, device, model, residentMiB, loadMs }: PlaceShape): Place {
  const place: Place = {
    server,
    device,
    model,
    residentMiB,
    loadMs,
    state: "absent",
    loadedAtMs: 0,
    running: 0,
    heavyRunning: 0,
    served: 0,
    keptMiB: 0,
    pinned: false,
    stuckUntilMs: -Infinity,
    uses: 0,
    usedAtStart: 0,
    lastUsedMs: -Infinity,
    value: 0,
    groups: [],
  };
  server.places.push(place);
  return place;
}

/** Throws when the new state takes memory that is not free, or not there yet. */
export function setState(place: Place, state: Place["state"]): void {
  const { device } = place;
  const before = place.state;
  if (state === "absent" || state === "leaving") keep(place, 0);
  count(place, -1);
  if (before === "absent") device.places.push(place);
  if (state === "absent") device.places.splice(device.places.indexOf(place), 1);
  if (before === "absent") place.served = 0;
  place.state = state;
  count(place, 1);
  if (state === "loading") hold(physicalMiB(device) >= 0, place, "loads more than there is");
}

/** Promises a model's memory, and that of the first job, before its victims have left. */
export function reserve(place: Place, workingMiB: number): void {
  setState(place, "reserved");
  keep(place, workingMiB);
  hold(freeMiB(place.device) >= 0, place, "is promised more than is free");
}

/** Keeps this much for the first job in the place; nothing from when it has started. */
export function keep(place: Place, workingMiB: number): void {
  place.device.promisedMiB += workingMiB - place.keptMiB;
  place.keptMiB = workingMiB;
}

/** It is there, whoever brought it: a fact, whatever the sums say. */
export function accept(place: Place): void {
  setState(place, "resident");
  place.served = 1;
}

/** Takes a slot, a lane and working memory for the job. */
export function beginRun(job: Waiting, place: Place, nowMs: number): void {
  const { device, server } = place;
  keep(place, 0);
  device.heldMiB += job.workingMiB;
  device.running++;
  if (job.heavy) {
    device.heavyRunning++;
    place.heavyRunning++;
    device.heavyUntilMs = Math.max(device.heavyUntilMs, nowMs + job.runMs);
  } else {
    const patienceMs = PATIENCE * job.runMs;
    device.lightUntilMs = Math.max(device.lightUntilMs, nowMs + patienceMs);
  }
  server.running++;
  place.running++;
  place.served++;
  use(place, nowMs);
  if (job.workingMiB > 0) {
    hold(
      Math.min(freeMiB(device), physicalMiB(device)) >= 0,
      place,
      "runs with more than there is",
    );
  }
}

export function endRun(job: Waiting, place: Place, nowMs: number): void {
  const { device, server } = place;
  device.heldMiB -= job.workingMiB;
  device.running--;
  if (job.heavy) {
    device.heavyRunning--;
    place.heavyRunning--;
  }
  server.running--;
  place.running--;
  place.lastUsedMs = nowMs;
  if (place.running < 0) throw new Error(`job ${job.id} has ended twice`);
}

/** The victims leave; what is loaded next is compared with the best of them. */
export function leave(victims: readonly Place[]): void {
  for (const victim of victims) {
    const { device } = victim;
    device.inflation = Math.max(device.inflation, victim.value);
    setState(victim, "leaving");
  }
}

/** "server/model on device", as errors name a place. */
export function nameOf({ server, model, device }: Place): string {
  return `${server.name}/${model} on ${device.name}`;
}

/** Short jobs side by side take longer than expected, up to this many times; then they overrun. */
const PATIENCE = 4;

/** Use counts fade to a half in this many starts. */
const USES_HALF_LIFE = 64;
const FADE = 0.5 ** (1 / USES_HALF_LIFE);

/** GreedyDual-Size-Frequency (Cherkasova 1998), with counts that fade. */
function use(place: Place, nowMs: number): void {
  const { device } = place;
  device.starts++;
  place.uses = 1 + place.uses * FADE ** (device.starts - place.usedAtStart);
  place.usedAtStart = device.starts;
  place.lastUsedMs = nowMs;
  place.value = device.inflation + (place.uses * place.loadMs) / Math.max(1, place.residentMiB);
}

function count({ device, state, residentMiB }: Place, by: 1 | -1): void {
  const mib = by * residentMiB;
  if (state === "reserved") device.promisedMiB += mib;
  if (state === "loading" || state === "resident" || state === "leaving") device.heldMiB += mib;
  if (state === "leaving") device.leavingMiB += mib;
  if (state === "reserved" || state === "loading") device.loading += by;
}

function hold(isTrue: boolean, place: Place, breach: string): void {
  if (isTrue) return;
  const { name, limitMiB, foreignMiB, heldMiB, leavingMiB, promisedMiB } = place.device;
  throw new Error(
    `${nameOf(place)} ${breach}: of ${limitMiB} MiB on ${name} others have ${foreignMiB}, ` +
      `${heldMiB} are held (${leavingMiB} of them leaving) and ${promisedMiB} promised`,
  );
}
