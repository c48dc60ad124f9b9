/**
 * Whether a job could run in one place now, and what stands against it. Only facts of the ledger:
 * what the policy prefers is looked at afterwards.
 */

import type { RunningJob } from "../forecast/input.ts";
import { freeMiB, type Place, physicalMiB, type Waiting } from "../ledger.ts";
import { hasLane, isFresh, isIdle, pending } from "../policy/fits.ts";
import { chooseVictims, keepValue } from "../policy/victims.ts";
import type { Busy, Leaver, WaitsFor, Where } from "./waits.ts";

/** What is known beside the ledger. */
export interface Scene {
  readonly nowMs: number;
  /** Jobs that compute; without them the sentences name no rest. */
  readonly running?: readonly RunningJob[];
  /** What is left of a run; its expected run time less the time so far unless said. */
  restOf?(running: RunningJob): number | undefined;
  /** Why a backend takes no work. */
  downReason?(backend: string): string | undefined;
  /** Why the last load of this place failed; undefined when it did not. */
  failureOf?(place: Place): string | undefined;
}

export interface Obstacle {
  /** Undefined when nothing but the policy's order stands against it. */
  readonly waitsFor: WaitsFor | undefined;
  /** Whether it fits when everything leaves that may. */
  readonly feasible: boolean;
  /** What is still missing of what it needs; what is loaded already does not count. */
  readonly neededMiB: number;
  readonly freeMiB: number;
  readonly leave: readonly Leaver[];
}

export function obstacleOf(place: Place, job: Waiting, scene: Scene): Obstacle {
  const { device, residentMiB, state } = place;
  const isThere = state === "resident" || state === "loading" || state === "reserved";
  const neededMiB = job.workingMiB + (isThere ? 0 : residentMiB);
  const free =
    state === "resident" ? Math.min(freeMiB(device), physicalMiB(device)) : freeMiB(device);
  const room = { neededMiB, freeMiB: Math.max(0, free) };
  const impossible = misfit(place, job, isThere, room, scene.nowMs);
  if (impossible) {
    const leave = impossible.kind === "pinned" ? impossible.leave : [];
    return { ...room, feasible: false, waitsFor: impossible, leave };
  }
  const missingMiB = neededMiB - free;
  const leave = missingMiB > 0 ? leaversOf(place, job, missingMiB, scene.nowMs) : [];
  const shortage = { ...whereOf(place), ...room, leave: leave.map(({ leaver }) => leaver) };
  const waitsFor =
    unavailable(place, scene) ??
    onItsWay(place, scene.nowMs) ??
    occupied(place, job, scene) ??
    shortOf(
      place,
      shortage,
      missingMiB,
      leave.every(({ leaver }) => leaver.state === "idle"),
    );
  return { ...room, feasible: true, waitsFor, leave: shortage.leave };
}

/** Why it could not even run with everything gone that may leave. */
function misfit(
  place: Place,
  { workingMiB }: Waiting,
  isThere: boolean,
  room: Pick<Obstacle, "neededMiB" | "freeMiB">,
  nowMs: number,
): WaitsFor | undefined {
  const { device } = place;
  const { limitMiB, foreignMiB } = device;
  const where = whereOf(place);
  const neededMiB = place.residentMiB + workingMiB;
  if (neededMiB > limitMiB) return { kind: "too_large", ...where, neededMiB, limitMiB };
  if (isThere) return undefined;
  if (neededMiB > limitMiB - foreignMiB) {
    return { kind: "device_foreign", ...where, neededMiB, limitMiB, foreignMiB };
  }
  const pinned = device.places.filter((it) => it.pinned && it !== place);
  const pinnedMiB = pinned.reduce((sum, it) => sum + it.residentMiB, 0);
  if (neededMiB <= limitMiB - foreignMiB - pinnedMiB) return undefined;
  return { kind: "pinned", ...where, ...room, leave: pinned.map((it) => leaverOf(it, nowMs)) };
}

function unavailable(place: Place, scene: Scene): WaitsFor | undefined {
  const { server, stuckUntilMs, state } = place;
  if (!server.available) {
    const detail = scene.downReason?.(server.name);
    return { kind: "backend_down", backend: server.name, detail };
  }
  const failure = scene.failureOf?.(place);
  // Only a load that failed leaves an absent place with a pause.
  if (state !== "absent" || stuckUntilMs <= scene.nowMs) return undefined;
  const againInMs = stuckUntilMs - scene.nowMs;
  return { kind: "load_failed", ...whereOf(place), detail: failure, againInMs };
}

function onItsWay(place: Place, nowMs: number): WaitsFor | undefined {
  const { state, device, loadedAtMs } = place;
  if (state !== "loading" && state !== "reserved") return undefined;
  const leaving =
    state === "loading" ? [] : device.places.filter((it) => it.state === "leaving").map(nameOf);
  const rest = state === "loading" ? loadedAtMs - nowMs : place.loadMs;
  const restMs = rest > 0 ? rest : undefined;
  return { kind: "loading", ...whereOf(place), restMs, leaving };
}

function occupied(place: Place, job: Waiting, scene: Scene): WaitsFor | undefined {
  const { server, device } = place;
  if (server.running >= server.slots) {
    return { kind: "backend_busy", backend: server.name, slots: server.slots };
  }
  if (hasLane(place, job.heavy)) return undefined;
  if (device.compute === "lane") {
    return { kind: "device_busy", device: device.name, by: busyOn(place, scene, () => true) };
  }
  const by = busyOn(place, scene, (running) => running.job.heavy);
  return { kind: "heavy_lane", device: device.name, limit: device.heavyLimit, by };
}

function busyOn(place: Place, scene: Scene, counts: (running: RunningJob) => boolean): Busy[] {
  const here = (scene.running ?? []).filter((it) => it.place.device === place.device && counts(it));
  return here.map((running) => {
    const { job, startedAtMs } = running;
    const expectedMs = startedAtMs + job.runMs - scene.nowMs;
    const restMs = scene.restOf ? scene.restOf(running) : expectedMs;
    const { server, model } = running.place;
    return { backend: server.name, model, restMs: restMs && restMs > 0 ? restMs : undefined };
  });
}

function shortOf(
  place: Place,
  shortage: Omit<WaitsFor & { kind: "memory" }, "kind">,
  missingMiB: number,
  allIdle: boolean,
): WaitsFor | undefined {
  const { leave } = shortage;
  if (place.state === "leaving") return { kind: "memory", ...shortage };
  // Idle ones leave as soon as the policy wants it.
  if (missingMiB <= 0 || (allIdle && sumOf(leave) >= missingMiB)) return undefined;
  const isStuck = leave.some(({ state }) => state === "stuck");
  const canEnd = leave.some(({ state }) => state === "busy" || state === "loading");
  return { kind: isStuck && !canEnd ? "stuck" : "memory", ...shortage };
}

function sumOf(leave: readonly Leaver[]): number {
  return leave.reduce((sum, { residentMiB }) => sum + residentMiB, 0);
}

interface Candidate {
  readonly place: Place;
  readonly leaver: Leaver;
}

/** Who would have to leave: the policy's choice, else idle ones first and the least used next. */
function leaversOf(place: Place, job: Waiting, missingMiB: number, nowMs: number): Candidate[] {
  const { device } = place;
  const { reservation } = device;
  const candidateOf = (it: Place) => ({ place: it, leaver: leaverOf(it, nowMs) });
  if (place.state === "leaving") return [candidateOf(place)];
  if (reservation?.job === job && reservation.place === place) {
    return reservation.victims.filter(({ state }) => state !== "absent").map(candidateOf);
  }
  const needMiB = missingMiB + freeMiB(device);
  const rules = { nowMs, value: keepValue, mayLeave: () => true };
  const idle = chooseVictims(place, needMiB, rules);
  if (idle) return idle.map(candidateOf);
  const candidates = device.places
    .filter((it) => it !== place && !it.pinned && it.state !== "leaving")
    .map(candidateOf)
    .sort((a, b) => COST[a.leaver.state] - COST[b.leaver.state] || inOrder(a.place, b.place));
  const chosen = new Set<Candidate>();
  let mib = 0;
  for (const candidate of candidates) {
    if (mib >= missingMiB) break;
    const { server } = candidate.place;
    for (const it of server.frees === "model" ? [candidate] : candidates) {
      if (it.place.server !== server || chosen.has(it)) continue;
      chosen.add(it);
      mib += it.place.residentMiB;
    }
  }
  return [...chosen];
}

/** What is sooner gone comes first. */
const COST = { idle: 0, loading: 1, busy: 2, stuck: 3, leaving: 4, pinned: 5 } as const;

function inOrder(a: Place, b: Place): number {
  return a.running - b.running || pending(a) - pending(b) || a.value - b.value;
}

function leaverOf(place: Place, nowMs: number): Leaver {
  const { server, model, residentMiB } = place;
  return { backend: server.name, model, residentMiB, state: stateOf(place, nowMs) };
}

function stateOf(place: Place, nowMs: number): Leaver["state"] {
  if (place.state === "leaving") return "leaving";
  if (place.pinned) return "pinned";
  if (place.state === "loading" || place.state === "reserved") return "loading";
  if (place.running > 0) return "busy";
  if (place.stuckUntilMs > nowMs) return "stuck";
  if (!isIdle(place, nowMs)) return "busy";
  return isFresh(place) ? "loading" : "idle";
}

export function whereOf({ server, model, device }: Place): Where {
  return { backend: server.name, model, device: device.name };
}

function nameOf({ server, model }: Place): string {
  return server.name === model ? model : `${server.name}/${model}`;
}
