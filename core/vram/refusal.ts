/** Why a policy's step may not be taken: what holds for every policy, also an operator's own. */
import { nameOf } from "./books.ts";
import { freeMiB, type Place } from "./ledger.ts";
import { canStart, isIdle } from "./policy/fits.ts";
import type { Step } from "./policy/policy.ts";

/** Undefined when the step may be taken. */
export function refusalOf(step: Step, nowMs: number): string | undefined {
  switch (step.kind) {
    case "start": {
      const { job, place } = step;
      if (!job.group.places.includes(place)) return `job ${job.id} cannot run in ${nameOf(place)}`;
      if (canStart(place, job)) return undefined;
      return `job ${job.id} cannot start in ${nameOf(place)} now`;
    }
    case "load":
      return refusedLoad(step, nowMs);
    case "evict":
      return refusedVictims(step.victims, nowMs);
    case "reserve":
      return step.place.device.reservation && `${step.place.device.name} is reserved already`;
    case "unreserve":
      return step.device.reservation ? undefined : `${step.device.name} is not reserved`;
    default:
      return `next() must give a step or undefined, not ${shown(step)}`;
  }
}

/** A policy of the operator's may be written in plain JavaScript. */
function shown(step: unknown): string {
  if (step instanceof Promise) return "a promise";
  const kind = typeof step === "object" && step !== null && "kind" in step ? step.kind : undefined;
  return kind === undefined ? JSON.stringify(step) : `a step of kind ${JSON.stringify(kind)}`;
}

function refusedLoad(step: Step & { kind: "load" }, nowMs: number): string | undefined {
  const { job, place, victims } = step;
  const { device, server, state } = place;
  if (!job.group.places.includes(place)) return `job ${job.id} cannot run in ${nameOf(place)}`;
  if (state !== "absent") return `${nameOf(place)} is ${state}`;
  if (!server.available) return `${nameOf(place)} has a server that is not available`;
  if (device.compute === "lane" && device.running + device.loading > 0) {
    return `${device.name} does one thing at a time`;
  }
  const refusal = victims.length > 0 ? refusedVictims(victims, nowMs) : undefined;
  if (refusal) return refusal;
  let free = freeMiB(device);
  for (const victim of victims) {
    if (victim.device === device) free += victim.residentMiB + victim.keptMiB;
  }
  const needMiB = place.residentMiB + job.workingMiB;
  if (free >= needMiB) return undefined;
  return `${nameOf(place)} needs ${needMiB} MiB and there are ${free}`;
}

function refusedVictims(victims: readonly Place[], nowMs: number): string | undefined {
  if (victims.length === 0) return "nobody was named that should leave";
  const busy = victims.find((it) => !isIdle(it, nowMs));
  if (busy) return `${nameOf(busy)} cannot leave now`;
  const left = victims.flatMap(companions).find((it) => !victims.includes(it));
  return left && `${nameOf(left)} would leave too and is not among the victims`;
}

/** What leaves with a place. */
function companions({ server }: Place): readonly Place[] {
  if (server.frees === "model") return [];
  return server.places.filter(({ state }) => state !== "absent");
}
