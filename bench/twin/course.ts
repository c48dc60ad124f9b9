/** What became of a trace, in the same form for the simulator and for its twin. */
import { fair } from "../../core/vram/policy/fair.ts";
import { simulate } from "../../scripts/simulator/simulator.ts";
import type { Job, Service } from "../scheduler/format.ts";
import { DEVICE_MIB } from "../scheduler/mix.ts";
import { SETTINGS } from "./wish.ts";

export interface Course {
  /** From arrival to end, in milliseconds, by the job's id. */
  readonly flows: ReadonlyMap<string, number>;
  readonly loads: number;
  readonly evictions: number;
}

export function simulated(services: readonly Service[], trace: readonly Job[]): Course {
  const flows = new Map<string, number>();
  let loads = 0;
  let evictions = 0;
  simulate({
    services,
    trace,
    settings: SETTINGS,
    policy: fair,
    devices: [DEVICE_MIB],
    compute: "shared",
    heavy: 1,
    headroomMiB: 0,
    write(outcome, job) {
      if (outcome.type === "job" && job) flows.set(job.id, outcome.end_ms - job.at_ms);
      if (outcome.type === "load") loads++;
      if (outcome.type === "evict") evictions++;
    },
  });
  return { flows, loads, evictions };
}

/** Of those jobs that `wanted` names; all of them unless told. */
export function meanFlowMs({ flows }: Course, wanted: readonly Job[]): number {
  const sum = wanted.reduce((total, { id }) => total + (flows.get(id) ?? Number.NaN), 0);
  return sum / wanted.length;
}
