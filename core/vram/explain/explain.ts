/**
 * Why a job waits: what it waits for, each place where it could run with what stands against it,
 * its place in the order of dispatch, and when it may start. Pure; the live ledger is only read.
 */

import type { Forecast } from "../forecast/input.ts";
import type { Place, Waiting } from "../ledger.ts";
import type { View } from "../policy/policy.ts";
import { type Obstacle, obstacleOf, type Scene, whereOf } from "./obstacle.ts";
import {
  aheadOf,
  leastUsedMs,
  type OrdersBy,
  rankOf,
  scoreOf,
  setupMsOf,
  shareLimitMs,
} from "./order.ts";
import { sentenceOf, type WaitReason, type WaitsFor, type Where } from "./waits.ts";

export type { Scene } from "./obstacle.ts";
export type { OrdersBy } from "./order.ts";
export type { Busy, Leaver, WaitReason, WaitsFor } from "./waits.ts";

export interface ExplainInput extends Scene {
  readonly view: View;
  readonly job: Waiting;
  /** What the policy in force orders by; `batch` unless said. */
  readonly ordersBy?: OrdersBy;
  /** With medians; without one the place in the order is an estimate. */
  readonly forecast?: Forecast;
}

export interface Explanation {
  readonly jobId: string;
  readonly waitsFor: WaitsFor;
  readonly sentence: string;
  /** What would hold it back if that were gone: a reservation, its key's share, the order. */
  readonly next: { readonly waitsFor: WaitsFor; readonly sentence: string } | undefined;
  readonly dispatch: {
    /** 0 is next. It may rise: others may come that go before it. */
    readonly position: number;
    /** Whether it comes from looking ahead; else from the order as things stand. */
    readonly exact: boolean;
  };
  /** The best place first. */
  readonly places: readonly PlaceExplanation[];
}

export interface PlaceExplanation extends Where, Omit<Obstacle, "waitsFor"> {
  readonly state: Place["state"];
  /** Undefined when nothing but the order stands against it. */
  readonly waitsFor: WaitsFor | undefined;
  readonly sentence: string | undefined;
  /** Until its model is there, victims not counted. */
  readonly setupMs: number;
  /** Weighted jobs per second of work, load included: the highest goes first. */
  readonly score: number;
  /** Groups of jobs with a higher score on this device. */
  readonly rank: number;
}

export function explain(input: ExplainInput): Explanation {
  const { view, job, nowMs, forecast } = input;
  const ordersBy = input.ordersBy ?? "batch";
  const found = looked(view, job, input);
  const guessed = aheadOf(view, job, ordersBy, nowMs);
  const waitsFor = reasonOf(found, view, job, ordersBy, guessed);
  const next = found[0]?.obstacle.waitsFor && afterwards(found[0].place, input, guessed);
  return {
    jobId: job.id,
    waitsFor,
    sentence: sentenceOf(waitsFor),
    next: next && { waitsFor: next, sentence: sentenceOf(next) },
    dispatch:
      forecast?.kind === "starts"
        ? { position: forecast.ahead.length, exact: true }
        : { position: guessed, exact: false },
    places: found.map(({ place, obstacle, score }) => ({
      ...whereOf(place),
      ...obstacle,
      state: place.state,
      sentence: obstacle.waitsFor && sentenceOf(obstacle.waitsFor),
      setupMs: setupMsOf(place, nowMs),
      score,
      rank: rankOf(view, place, score, nowMs),
    })),
  };
}

/** For each row of a list: what it waits for, and how many go first. */
export function waitReason(
  view: View,
  job: Waiting,
  { nowMs, ordersBy = "batch" }: { readonly nowMs: number; readonly ordersBy?: OrdersBy },
): { readonly reason: WaitReason; readonly ahead: number } {
  const ahead = aheadOf(view, job, ordersBy, nowMs);
  const { kind } = reasonOf(looked(view, job, { nowMs }), view, job, ordersBy, ahead);
  return { reason: kind, ahead };
}

interface Looked {
  readonly place: Place;
  readonly obstacle: Obstacle;
  readonly score: number;
}

/** Its places, the one where it will most likely run first. */
function looked(view: View, job: Waiting, scene: Scene): Looked[] {
  const found = job.group.places.map((place) => ({
    place,
    obstacle: obstacleOf(place, job, scene),
    score: scoreOf(view, job.group, place, scene.nowMs),
  }));
  return found.sort((a, b) => distance(a, job) - distance(b, job) || b.score - a.score);
}

function distance({ place, obstacle }: Looked, job: Waiting): number {
  if (place.device.reservation?.job === job && place.device.reservation.place === place) return 0;
  switch (obstacle.waitsFor?.kind) {
    case "loading":
      return 1;
    case undefined:
      return 2;
    case "load_failed":
      return 4;
    case "backend_down":
      return 5;
    case "device_foreign":
    case "pinned":
      return 6;
    case "too_large":
      return 7;
    default:
      return 3;
  }
}

function reasonOf(
  found: readonly Looked[],
  view: View,
  job: Waiting,
  ordersBy: OrdersBy,
  ahead: number,
): WaitsFor {
  const [best] = found;
  if (!best) return { kind: "backend_down", backend: job.group.name };
  return best.obstacle.waitsFor ?? preference(best.place, view, job, ordersBy, ahead);
}

/** Undefined when the job goes next. */
function afterwards(place: Place, input: ExplainInput, ahead: number): WaitsFor | undefined {
  const next = preference(place, input.view, input.job, input.ordersBy ?? "batch", ahead);
  return next.kind === "order" && next.ahead === 0 ? undefined : next;
}

/** Nothing but the policy holds it back. */
function preference(
  { device }: Place,
  view: View,
  job: Waiting,
  ordersBy: OrdersBy,
  ahead: number,
): WaitsFor {
  const { reservation } = device;
  if (reservation && reservation.job !== job) {
    const { place, overdue } = reservation;
    return { kind: "reserved", ...whereOf(place), overdue };
  }
  const { usedMs } = job.line.share;
  if (ordersBy === "batch" && usedMs > shareLimitMs(view)) {
    const aheadMs = usedMs - leastUsedMs(view.shares);
    return { kind: "fair_share", aheadMs, allowedMs: view.settings.fairnessMs };
  }
  return { kind: "order", ahead, ordersBy };
}
