/**
 * The devices of a forecast on its own clock: what runs, loads and leaves, and what of it ends
 * next. Jobs on one device share its compute in equal parts; what has no known end goes on.
 */
import type { Device, Place, Server } from "../ledger.ts";
import type { Running } from "../scheduler.ts";

export type Happening =
  | { readonly kind: "ended"; readonly running: Running }
  | { readonly kind: "loaded"; readonly place: Place }
  | { readonly kind: "left"; readonly place: Place };

/** Whether jobs that run side by side on one device slow each other down. */
export type Sharing = "time_slices" | "none";

export interface VirtualDevices {
  /** `workMs`: what is left of it, alone on the device; undefined when nobody knows. */
  run(running: Running, workMs: number | undefined, nowMs: number): void;
  /** `atMs`: undefined when nobody knows. */
  expect(happening: Happening & { kind: "loaded" | "left" }, atMs: number | undefined): void;
  /** When the next thing ends; Infinity when nothing does. */
  nextMs(): number;
  /** What ends at `nextMs`. */
  take(): Happening | undefined;
  /** Something without a known end on one of these devices or servers. */
  openEnd(where: { has(item: Device | Server): boolean }): Happening | undefined;
}

/** Total speed of several jobs on one device, compared with one alone. */
const SHARED_SPEED = 0.95;

interface Lane {
  readonly runs: Run[];
  /** Milliseconds of work that each running job has got since the beginning. */
  progress: number;
  asOfMs: number;
}

interface Run {
  readonly running: Running;
  readonly endProgress: number;
}

interface Timed {
  readonly happening: Happening;
  readonly atMs: number;
}

interface Next {
  readonly atMs: number;
  remove(): Happening;
}

export function createVirtualDevices(sharing: Sharing): VirtualDevices {
  const lanes = new Map<Device, Lane>();
  const timed: Timed[] = [];

  function speedOf({ runs }: Lane): number {
    return sharing === "none" || runs.length < 2 ? 1 : SHARED_SPEED / runs.length;
  }

  function advance(lane: Lane, nowMs: number): void {
    lane.progress += (nowMs - lane.asOfMs) * speedOf(lane);
    lane.asOfMs = nowMs;
  }

  function laneOf(device: Device, nowMs: number): Lane {
    const known = lanes.get(device);
    if (known) return known;
    const lane = { runs: [], progress: 0, asOfMs: nowMs };
    lanes.set(device, lane);
    return lane;
  }

  function next(): Next | undefined {
    let found: Next | undefined;
    for (const lane of lanes.values()) {
      const run = firstRun(lane.runs);
      if (!run) continue;
      const atMs = lane.asOfMs + Math.max(0, run.endProgress - lane.progress) / speedOf(lane);
      if (found && found.atMs <= atMs) continue;
      found = {
        atMs,
        remove() {
          advance(lane, atMs);
          lane.runs.splice(lane.runs.indexOf(run), 1);
          return { kind: "ended", running: run.running };
        },
      };
    }
    for (const item of timed) {
      if (item.atMs === Infinity || (found && found.atMs <= item.atMs)) continue;
      found = {
        atMs: item.atMs,
        remove() {
          timed.splice(timed.indexOf(item), 1);
          return item.happening;
        },
      };
    }
    return found;
  }

  return {
    run(running, workMs, nowMs) {
      const lane = laneOf(running.place.device, nowMs);
      advance(lane, nowMs);
      lane.runs.push({ running, endProgress: lane.progress + (workMs ?? Infinity) });
    },
    expect: (happening, atMs) => void timed.push({ happening, atMs: atMs ?? Infinity }),
    nextMs: () => next()?.atMs ?? Infinity,
    take: () => next()?.remove(),
    openEnd(where) {
      const isThere = ({ device, server }: Place) => where.has(device) || where.has(server);
      for (const { runs } of lanes.values()) {
        const run = runs.find((it) => it.endProgress === Infinity && isThere(it.running.place));
        if (run) return { kind: "ended", running: run.running };
      }
      return timed.find(({ atMs, happening }) => atMs === Infinity && isThere(placeOf(happening)))
        ?.happening;
    },
  };
}

function firstRun(runs: readonly Run[]): Run | undefined {
  let found: Run | undefined;
  for (const run of runs) {
    if (run.endProgress < (found?.endProgress ?? Infinity)) found = run;
  }
  return found;
}

export function placeOf(happening: Happening): Place {
  return happening.kind === "ended" ? happening.running.place : happening.place;
}
