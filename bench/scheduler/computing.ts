/** The judge's look at time: do the ends of the jobs follow from their work and their company? */

import type { Court, Run } from "./court.ts";
import { type LoadLine, type ResultLine, SHARED_SPEED } from "./format.ts";

export function checkComputing(
  court: Court,
  runs: readonly Run[],
  sound: readonly ResultLine[],
): void {
  const byDevice = Map.groupBy(runs, ({ device }) => device);
  if (court.compute === "shared") {
    for (const group of byDevice.values()) checkShared(court, group);
    return;
  }
  for (const run of runs) checkAlone(court, run);
  const loads = Map.groupBy(sound.filter(isLoad), ({ device }) => device);
  for (const device of court.devicesMib.keys()) {
    const things = [...(byDevice.get(device) ?? []), ...(loads.get(device) ?? [])];
    checkTurns(court, device, things);
  }
}

function checkAlone(court: Court, { job, start_ms, end_ms }: Run): void {
  if (Math.abs(end_ms - start_ms - job.run_ms) <= court.toleranceMs) return;
  court.charge("compute", `job ${job.id} took ${end_ms - start_ms}; its work is ${job.run_ms}`);
}

/** On a lane nothing begins before what began earlier has ended. */
function checkTurns(
  court: Court,
  device: number,
  things: readonly { readonly start_ms: number; readonly end_ms: number }[],
): void {
  const sorted = [...things].sort((a, b) => a.start_ms - b.start_ms || a.end_ms - b.end_ms);
  let untilMs = 0;
  for (const { start_ms, end_ms } of sorted) {
    if (start_ms < untilMs - court.toleranceMs) {
      court.charge("compute", `two things at once on the lane of device ${device} at ${start_ms}`);
    }
    untilMs = Math.max(untilMs, end_ms);
  }
}

/**
 * Adds up what each job got from start to end, given the starts and ends of all. Each of those
 * times may be off by the tolerance and moves the speed of the others, hence the wider margin.
 */
function checkShared(court: Court, runs: readonly Run[]): void {
  const points = runs
    .flatMap((run, index) => [
      { index, atMs: run.start_ms, change: 1 },
      { index, atMs: run.end_ms, change: -1 },
    ])
    .sort((a, b) => a.atMs - b.atMs || b.change - a.change);
  const gotAtStart = new Float64Array(runs.length);
  const placeOfStart = new Int32Array(runs.length);
  let got = 0;
  let nowMs = 0;
  let running = 0;
  points.forEach(({ index, atMs, change }, place) => {
    got += (atMs - nowMs) * (running <= 1 ? 1 : SHARED_SPEED / running);
    nowMs = atMs;
    running += change;
    if (change === 1) {
      gotAtStart[index] = got;
      placeOfStart[index] = place;
      return;
    }
    const { job } = runs[index]!;
    const workMs = got - gotAtStart[index]!;
    const marginMs = court.toleranceMs * (2 + place - placeOfStart[index]!);
    if (Math.abs(workMs - job.run_ms) > marginMs) {
      court.charge(
        "compute",
        `job ${job.id} got ${workMs} of work done; its work is ${job.run_ms}`,
      );
    }
  });
}

function isLoad(line: ResultLine): line is LoadLine {
  return line.type === "load";
}
