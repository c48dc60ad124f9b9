/**
 * When a job will start and end if nothing else arrives: the product's own scheduler, run forward
 * on a virtual clock from a copy of the ledger. What rests on something that nobody knows is not
 * answered. The rules:
 *
 * - A run takes what `runOf` says, counted from its start. One that has run for longer already has
 *   no known rest, unless `restOf` knows it from the measurements (`restFromSamples`: the quantile
 *   of those that took longer still).
 * - Something without a known end on a device or server where the job could run makes its start
 *   unknown, as soon as the job would have to wait beside it: it may end at any time, and all that
 *   follows shifts. Elsewhere it goes on for ever and does no harm.
 * - Jobs that compute on one device at once share it in time slices, 0.95 in all, as processes
 *   on one GPU do and as the simulator has it. Run times that were measured beside others contain
 *   their wait already: for these the answer is late rather than early. `sharing: "none"` is for
 *   devices whose jobs do not slow each other down.
 * - Every load succeeds, every victim leaves, no job gives up its place, nobody else takes memory,
 *   and a backend that is down stays down.
 */
import { obstacleOf } from "../explain/obstacle.ts";
import { sentenceOf } from "../explain/waits.ts";
import type { Device, Place, Server, Waiting } from "../ledger.ts";
import { type Happening, placeOf } from "./clock.ts";
import { begin, type Course, type Move } from "./course.ts";
import type { Forecast, ForecastInput, ForecastMove } from "./input.ts";

export type { Sharing } from "./clock.ts";
export type {
  Forecast,
  ForecastInput,
  ForecastMove,
  RunningJob,
  WhatIf,
} from "./input.ts";

/** It gives up after this many happenings per waiting or running job, and some more. */
const STEPS_PER_JOB = 8;
const SPARE_STEPS = 256;
/** As many as the cost book wants before it tells a quantile. */
const MIN_SAMPLES = 5;

export function forecast(input: ForecastInput): Forecast {
  const { watch } = input;
  const tooLarge = typeof watch === "string" ? undefined : neverFits(watch);
  if (tooLarge) return { kind: "never", reason: tooLarge };
  let jobs = input.running.length;
  for (const { size } of input.view.groups) jobs += size;
  if (jobs > input.limitJobs) {
    return unknown(`${jobs} jobs wait or run, and it looks ahead over ${input.limitJobs} at most`);
  }
  try {
    const course = begin(input);
    if (!course.watched) return unknown(`job ${String(watch)} neither waits nor runs`);
    const misfit = course.start ? undefined : neverFits(course.watched);
    if (misfit) return { kind: "never", reason: misfit };
    course.copy.release();
    return goOn(course, input, STEPS_PER_JOB * jobs + SPARE_STEPS);
  } catch (error) {
    // A policy of one's own may fail on a future that the live ledger never comes to.
    return unknown(error instanceof Error ? error.message : String(error));
  }
}

/** The quantile (0 to 1) of what is left, of those that took longer; undefined below 5 of them. */
export function restFromSamples(
  samplesMs: readonly number[],
  elapsedMs: number,
  quantile: number,
): number | undefined {
  const longer = samplesMs.filter((ms) => ms > elapsedMs).sort((a, b) => a - b);
  if (longer.length < MIN_SAMPLES) return undefined;
  const rank = Math.max(1, Math.ceil(quantile * longer.length));
  return (longer[rank - 1] ?? elapsedMs) - elapsedMs;
}

function goOn(course: Course, input: ForecastInput, maxSteps: number): Forecast {
  const { copy, devices, clock } = course;
  const { scheduler } = copy;
  const own = ownPlaces(course.watched);
  for (let steps = 0; steps < maxSteps; steps++) {
    const { start: begun } = course;
    if (begun && (course.endedMs !== undefined || !endIsKnown(course, input))) {
      return answer(course, begun);
    }
    const open = begun ? undefined : devices.openEnd(own);
    if (open) return unknown(openReason(open));
    const nextMs = devices.nextMs();
    const wakeMs = scheduler.wakeAtMs();
    if (Math.min(nextMs, wakeMs) === Infinity)
      return unknown(stuckReason(course, input.policy.name));
    clock.nowMs = Math.max(clock.nowMs, Math.min(nextMs, wakeMs));
    const happening = nextMs <= wakeMs ? devices.take() : undefined;
    if (happening) tell(course, happening);
    else scheduler.reconsider();
  }
  if (course.start) return answer(course, course.start);
  return unknown(`more than ${maxSteps} things happen before it starts`);
}

/** Where the job may run, and what it shares with others there. */
function ownPlaces(job: Waiting | undefined): Set<Device | Server> {
  const own = new Set<Device | Server>();
  for (const { device, server } of job?.group.places ?? []) {
    if (server.available) own.add(device).add(server);
  }
  return own;
}

function endIsKnown(
  { start: begun, workMs, devices }: Course,
  { sharing }: ForecastInput,
): boolean {
  if (workMs === undefined) return false;
  if (sharing === "none") return true;
  return !devices.openEnd({ has: (item) => item === begun?.place.device });
}

function tell(course: Course, happening: Happening): void {
  const { scheduler } = course.copy;
  switch (happening.kind) {
    case "ended":
      if (happening.running.job === course.watched) course.endedMs = course.clock.nowMs;
      scheduler.ended(happening.running);
      return;
    case "loaded":
      scheduler.loaded(happening.place);
      return;
    case "left":
      scheduler.left(happening.place);
  }
}

function answer(course: Course, begun: NonNullable<Course["start"]>): Forecast {
  const { place } = begun;
  const fromNow = (atMs: number) => atMs - course.askedMs;
  const moves = (list: readonly Move[]) =>
    list.map(({ place: moved, atMs, beneficiary }) => ({
      ...nameOf(moved),
      atMs: fromNow(atMs),
      own: beneficiary === place,
    }));
  return {
    kind: "starts",
    atMs: fromNow(begun.atMs),
    endsAtMs: course.endedMs === undefined ? undefined : fromNow(course.endedMs),
    ahead: course.ahead,
    loads: moves(course.loads),
    evictions: moves(course.evictions),
    ...nameOf(place),
  };
}

function nameOf({
  server,
  model,
  device,
}: Place): Pick<ForecastMove, "backend" | "model" | "device"> {
  return { backend: server.name, model, device: device.name };
}

function unknown(reason: string): Forecast {
  return { kind: "unknown", reason };
}

/** A job for which every place is too small, whatever leaves. */
function neverFits({
  group,
  workingMiB,
}: Pick<Waiting, "group" | "workingMiB">): string | undefined {
  let nearest: Place | undefined;
  for (const place of group.places) {
    if (place.residentMiB + workingMiB <= place.device.limitMiB) return undefined;
    if (!nearest || place.device.limitMiB > nearest.device.limitMiB) nearest = place;
  }
  if (!nearest) return `no backend can run ${group.name}`;
  const { residentMiB, device } = nearest;
  return `it needs ${residentMiB + workingMiB} MiB, and ${device.name} has ${device.limitMiB}`;
}

function openReason(open: Happening): string {
  const { server, model, device } = placeOf(open);
  const name = `${server.name}/${model}`;
  switch (open.kind) {
    case "ended":
      return `nobody knows how long a job of ${name} still computes on ${device.name}`;
    case "loaded":
      return `nobody knows how long ${name} still loads on ${device.name}`;
    case "left":
      return `nobody knows how long ${name} takes to leave ${device.name}`;
  }
}

/** All that is under way has ended, and it waits on. */
function stuckReason({ watched, clock }: Course, policy: string): string {
  const sentences = watched?.group.places.map((place) => {
    const { waitsFor } = obstacleOf(place, watched, { nowMs: clock.nowMs });
    return waitsFor ? sentenceOf(waitsFor) : undefined;
  });
  const found = sentences?.find((sentence) => sentence !== undefined);
  return found ?? `the policy ${policy} does not let it start though nothing else is under way`;
}
