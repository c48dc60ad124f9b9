/** The product's scheduler in the yardsticks' words: their services, jobs and result lines. */
import type { Policy } from "../../core/vram/policy/policy.ts";
import type { Scheduler } from "../../core/vram/scheduler.ts";
import { simulate } from "../../scripts/simulator/simulator.ts";
import type { Compute, Job, ResultLine, Service } from "./format.ts";

export interface OurWorld {
  readonly services: readonly Service[];
  readonly jobs: readonly Job[];
  readonly devicesMib: readonly number[];
  readonly compute: Compute;
  readonly policy: Policy;
  readonly observe?: (event: "before" | "after", scheduler: Scheduler) => void;
}

/** As `bun run simulate` with one long job per device and no headroom would write it. */
export function runOurs({ services, jobs, devicesMib, ...rest }: OurWorld): ResultLine[] {
  const lines: ResultLine[] = [];
  const { unfinished } = simulate({
    ...{ services, trace: jobs, devices: devicesMib, heavy: 1, headroomMiB: 0 },
    ...rest,
    write: (line) => void lines.push(line),
  });
  if (unfinished.length > 0) throw new Error(`${unfinished.length} jobs never ran`);
  return lines;
}
