/** Workloads with one question each: small ones that have an exact answer, and one that starves. */
import type { Job, Service } from "./format.ts";
import {
  arrivalTimes,
  drawRunMs,
  drawServices,
  MIX,
  meanMs,
  meanWorkMs,
  mixServices,
} from "./mix.ts";
import { createRandom } from "./prng.ts";

export interface Workload {
  readonly services: readonly Service[];
  readonly jobs: readonly Job[];
}

export interface StarvationWish {
  readonly seed: number;
  readonly hotLoad: number;
  readonly speed?: number;
  readonly hours?: number;
}

/** What the starvation workload calls its two services. */
export const HOT = "hot";
export const VICTIM = "victim";

const HOUR_MS = 3_600_000;

/**
 * `count` jobs that are all there at 0. Each job's service is drawn from the mix by its share,
 * independently of the others (no stickiness), its run time from the service's lognormal; the order
 * of the list, which FIFO follows, is the order of drawing. Meant for the exclusive lane of 24,576
 * MiB.
 */
export function batchInstance(seed: number, count: number): Workload {
  return smallInstance(seed, count, undefined);
}

/**
 * The same jobs as `batchInstance`, arriving one by one: a Poisson stream whose rate is `load`
 * divided by the mean work of the mix (17.5 s), the first job a gap after 0. The published figures
 * take loads 0.5, 1 and 2 in equal parts.
 */
export function onlineInstance(seed: number, count: number, load: number): Workload {
  return smallInstance(seed, count, load);
}

/**
 * A stream of short jobs of one service (20,480 MiB, load 4 s, 4 slots, median 6 s, sigma 0.8) at
 * utilisation `hotLoad`, and every 600 s from 300 s on one job of another (16,384 MiB, load 12 s,
 * run 12 s) that does not fit beside it, for `hours` (4 unless told: 24 victims), on 24,576 MiB.
 *
 * `hotLoad` is work per unit of time times `speed` (1 unless told). Jobs side by side get 0.95 in
 * all, so that 0.95 at speed 1 is more than a device can do beside the victims: queues only grow.
 * With `speed: 0.95` the load is one of what the device can do, as the published figures suggest.
 */
export function starvation(wish: StarvationWish): Workload {
  const untilMs = (wish.hours ?? 4) * HOUR_MS;
  const times = { medianMs: 6_000, sigma: 0.8 };
  const random = createRandom(wish.seed, 4);
  const runs = createRandom(wish.seed, 5);
  const jobs: Job[] = [];
  for (let at = 300_000; at < untilMs; at += 600_000) {
    jobs.push({ id: `${VICTIM}-${jobs.length + 1}`, at_ms: at, service: VICTIM, run_ms: 12_000 });
  }
  const gapMs = meanMs(times) / (wish.hotLoad * (wish.speed ?? 1));
  let at = gapMs * random.exponential();
  for (let count = 1; at < untilMs; count++) {
    const run_ms = drawRunMs(times, runs);
    jobs.push({ id: `${HOT}-${count}`, at_ms: Math.round(at), service: HOT, run_ms });
    at += gapMs * random.exponential();
  }
  return {
    services: [
      {
        name: HOT,
        vram_mib: 20_480,
        load_ms: 4_000,
        run_ms: Math.round(meanMs(times)),
        slots: 4,
      },
      { name: VICTIM, vram_mib: 16_384, load_ms: 12_000, run_ms: 12_000, slots: 1 },
    ],
    jobs: jobs.sort((a, b) => a.at_ms - b.at_ms),
  };
}

function smallInstance(seed: number, count: number, load: number | undefined): Workload {
  const random = createRandom(seed, 6);
  const at =
    load === undefined
      ? Array.from({ length: count }, () => 0)
      : arrivalTimes({ kind: "poisson" }, count, meanWorkMs() / load, createRandom(seed, 7));
  const jobs = drawServices(MIX, count, 0, random).map((service, index) => ({
    id: `${index + 1}`,
    at_ms: at[index]!,
    service: service.name,
    run_ms: drawRunMs(service, random),
  }));
  return { services: mixServices(), jobs };
}
