/** The plainest possible answers: everything is tried. Only for the smallest instances. */
import type { LaneInstance } from "../../../bench/scheduler/optimum.ts";
import type { ResidencyInstance } from "../../../bench/scheduler/residency.ts";

interface Best {
  totalFlowMs: number;
  makespanMs: number;
}

/**
 * Every sequence of: idling until the next arrival, loading any absent service with any set of
 * residents dropped that makes it fit, running any job whose service is resident. Only a state seen
 * before at the same time with no more flow is not followed again, nor one where even loads for
 * nothing and jobs side by side would better neither figure.
 */
export function tryEverySchedule({ services, jobs, deviceMib }: LaneInstance): Best {
  const best = oneAfterTheOther({ services, jobs, deviceMib });
  const seen = new Map<string, number>();
  const arrivals = [...new Set(jobs.map(({ at_ms }) => at_ms))].sort((a, b) => a - b);

  const isHopeless = (now: number, flow: number, left: readonly number[]): boolean => {
    let least = flow;
    let end = now;
    for (const index of left) {
      const { at_ms, run_ms } = jobs[index]!;
      least += Math.max(now, at_ms) + run_ms - at_ms;
      end += run_ms;
    }
    return least >= best.totalFlowMs && end >= best.makespanMs;
  };

  const follow = (now: number, flow: number, left: readonly number[], resident: string[]): void => {
    if (left.length === 0) {
      best.totalFlowMs = Math.min(best.totalFlowMs, flow);
      best.makespanMs = Math.min(best.makespanMs, now);
      return;
    }
    if (isHopeless(now, flow, left)) return;
    const key = `${now} ${left} ${[...resident].sort()}`;
    if ((seen.get(key) ?? Number.POSITIVE_INFINITY) <= flow) return;
    seen.set(key, flow);
    for (const index of left) {
      const job = jobs[index]!;
      if (!resident.includes(job.service)) continue;
      const end = Math.max(now, job.at_ms) + job.run_ms;
      const others = left.filter((other) => other !== index);
      follow(end, flow + end - job.at_ms, others, resident);
    }
    for (const { name, vram_mib, load_ms } of services) {
      if (resident.includes(name)) continue;
      for (const kept of subsets(resident)) {
        if (sizeOf(kept) + vram_mib <= deviceMib) {
          follow(now + load_ms, flow, left, [...kept, name]);
        }
      }
    }
    const next = arrivals.find((at) => at > now);
    if (next !== undefined) follow(next, flow, left, resident);
  };
  const sizeOf = (names: readonly string[]) =>
    names.reduce((sum, name) => sum + services.find((s) => s.name === name)!.vram_mib, 0);
  follow(
    0,
    0,
    jobs.map((_, index) => index),
    [],
  );
  return best;
}

/** A schedule to begin with: by arrival, every job with a load of its own. */
function oneAfterTheOther({ services, jobs }: LaneInstance): Best {
  const best = { totalFlowMs: 0, makespanMs: 0 };
  for (const { at_ms, run_ms, service } of [...jobs].sort((a, b) => a.at_ms - b.at_ms)) {
    const { load_ms } = services.find(({ name }) => name === service)!;
    best.makespanMs = Math.max(best.makespanMs, at_ms) + load_ms + run_ms;
    best.totalFlowMs += best.makespanMs - at_ms;
  }
  return best;
}

/** Every choice of what to drop at every request, also where nothing need be dropped. */
export function tryEveryEviction({ services, order, deviceMib }: ResidencyInstance): number {
  const find = (name: string) => services.find((service) => service.name === name)!;
  const follow = (at: number, resident: string[]): number => {
    const name = order[at];
    if (name === undefined) return 0;
    let least = Number.POSITIVE_INFINITY;
    for (const kept of subsets(resident)) {
      const others = kept.filter((other) => other !== name);
      const used = others.reduce((sum, other) => sum + find(other).vram_mib, find(name).vram_mib);
      if (used > deviceMib) continue;
      const paid = kept.includes(name) ? 0 : find(name).load_ms;
      least = Math.min(least, paid + follow(at + 1, [...others, name]));
    }
    return least;
  };
  return follow(0, []);
}

function subsets(names: readonly string[]): string[][] {
  return Array.from({ length: 2 ** names.length }, (_, mask) =>
    names.filter((_, index) => (mask >> index) & 1),
  );
}
