/** How a forecast begins: the copy with all that is under way, and what its effects set going. */

import type { Place, Waiting } from "../ledger.ts";
import type { Step } from "../policy/policy.ts";
import type { Running } from "../scheduler.ts";
import { createVirtualDevices, type VirtualDevices } from "./clock.ts";
import { copyLedger, type LedgerCopy } from "./copy.ts";
import type { ForecastInput, RunningJob } from "./input.ts";

export interface Move {
  readonly place: Place;
  readonly atMs: number;
  /** The place that is loaded, or that the victim makes room for. */
  readonly beneficiary: Place;
}

/** The copy, and what has happened in it so far. */
export interface Course {
  readonly copy: LedgerCopy;
  readonly askedMs: number;
  readonly clock: { nowMs: number };
  readonly devices: VirtualDevices;
  readonly ahead: string[];
  /** Until the watched job starts, as the jobs ahead of it. */
  readonly loads: Move[];
  readonly evictions: Move[];
  watched: Waiting | undefined;
  /** How long the watched job computes; undefined when nobody knows. */
  workMs: number | undefined;
  start: { readonly atMs: number; readonly place: Place } | undefined;
  endedMs: number | undefined;
}

/** The copy at the moment of the question: the watched job is in it, nothing is decided yet. */
export function begin(input: ForecastInput): Course {
  const { watch, policy, nowMs } = input;
  const clock = { nowMs };
  /** What the load that is being decided is for. */
  let loading: Place | undefined;
  const copy = copyLedger({
    ...input,
    clock,
    groups: typeof watch === "string" ? [] : [watch.group],
    policy: {
      ...policy,
      next(view) {
        const step = policy.next(view);
        loading = beneficiaryOf(step);
        return step;
      },
    },
    effects: {
      start: (job, place) => start(course, input, job, place),
      load(place) {
        record(course.loads, place, place);
        const loadMs = input.loadOf(copy.livePlace(place));
        course.devices.expect({ kind: "loaded", place }, after(clock.nowMs, loadMs));
      },
      evict(places) {
        for (const place of places) {
          record(course.evictions, place, loading ?? place);
          expectLeaving(course, input, place);
        }
      },
    },
  });
  const record = (moves: Move[], place: Place, beneficiary: Place) => {
    if (!course.start) moves.push({ place, atMs: clock.nowMs, beneficiary });
  };
  const course: Course = {
    copy,
    askedMs: nowMs,
    clock,
    devices: createVirtualDevices(input.sharing ?? "time_slices"),
    ahead: [],
    loads: [],
    evictions: [],
    watched: undefined,
    workMs: undefined,
    start: undefined,
    endedMs: undefined,
  };
  goOnWithWhatIsUnderWay(course, input);
  if (typeof watch === "string") {
    course.watched ??= copy.jobs.get(watch);
  } else {
    const { durationMs: _, ...arrival } = watch;
    course.watched = copy.submit({ ...arrival, id: "" });
  }
  return course;
}

function beneficiaryOf(step: Step | undefined): Place | undefined {
  if (step?.kind === "load") return step.place;
  if (step?.kind !== "evict") return undefined;
  // Room beside a model that is there already: for whoever goes next on the device.
  return step.victims[0]?.device.reservation?.place;
}

function start(course: Course, input: ForecastInput, job: Waiting, place: Place): void {
  const { watch } = input;
  const { devices, clock, copy } = course;
  const isWatched = job === course.watched;
  const isWhatIf = isWatched && typeof watch !== "string";
  const workMs = isWhatIf
    ? watch.durationMs
    : input.runOf(copy.liveJob(job), copy.livePlace(place), place.served <= 1);
  devices.run({ job, place }, workMs, clock.nowMs);
  if (isWatched) {
    course.start = { atMs: clock.nowMs, place };
    course.workMs = workMs;
  } else if (!course.start) {
    course.ahead.push(job.id);
  }
}

function expectLeaving({ devices, clock, copy }: Course, input: ForecastInput, place: Place): void {
  const leaveMs = input.leaveOf ? input.leaveOf(copy.livePlace(place)) : 0;
  devices.expect({ kind: "left", place }, after(clock.nowMs, leaveMs));
}

function goOnWithWhatIsUnderWay(course: Course, input: ForecastInput): void {
  const { copy, devices } = course;
  const { nowMs } = input;
  for (const [index, live] of input.running.entries()) {
    const running = copy.running[index] as Running;
    const restMs = restOf(live, input);
    devices.run(running, restMs, nowMs);
    if (live.job.id !== input.watch) continue;
    course.watched = running.job;
    course.start = { atMs: nowMs, place: running.place };
    course.workMs = restMs;
  }
  for (const device of copy.scheduler.view.devices) {
    for (const place of device.places) {
      if (place.state === "leaving") expectLeaving(course, input, place);
      if (place.state !== "loading") continue;
      const loadMs = input.loadOf(copy.livePlace(place));
      const endsMs = loadMs === undefined ? nowMs : place.loadedAtMs + (loadMs - place.loadMs);
      // A load that takes longer than expected already has no known end.
      devices.expect({ kind: "loaded", place }, endsMs > nowMs ? endsMs : undefined);
    }
  }
}

function restOf(running: RunningJob, input: ForecastInput): number | undefined {
  const { job, startedAtMs, workedMs } = running;
  const elapsedMs = workedMs ?? input.nowMs - startedAtMs;
  const restMs = input.restOf?.(job, elapsedMs);
  if (restMs !== undefined) return restMs;
  const expectedMs = input.runOf(job, running.place, running.isFirst ?? false);
  return expectedMs !== undefined && expectedMs > elapsedMs ? expectedMs - elapsedMs : undefined;
}

function after(fromMs: number, durationMs: number | undefined): number | undefined {
  return durationMs === undefined ? undefined : fromMs + durationMs;
}
