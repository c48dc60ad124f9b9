/** Several devices: one queue for all of them against the best way to bind services to devices. */
import { fair } from "../../core/vram/policy/fair.ts";
import type { Verdict } from "../tools/report.ts";
import { figure, median } from "../tools/statistics.ts";
import type { Job } from "./format.ts";
import { measure } from "./metrics.ts";
import { DEVICE_MIB, generate, mixServices } from "./mix.ts";
import { runOurs } from "./run-ours.ts";

const SEEDS = [1, 2, 3, 4, 5];
const JOBS = 2_000;
const STARTS = 3;
const LAYOUTS: readonly (readonly number[])[] = [
  [DEVICE_MIB, DEVICE_MIB],
  [DEVICE_MIB, DEVICE_MIB, DEVICE_MIB],
  [DEVICE_MIB, DEVICE_MIB, DEVICE_MIB, DEVICE_MIB],
];

export function partitionRatios() {
  const rows = LAYOUTS.map((devicesMib) => ({
    devicesMib,
    ratios: SEEDS.map((seed) => ratioOf(devicesMib, seed)),
  }));
  return {
    table: {
      caption:
        "Several devices of 24 GB at load 0.5: mean flow / that of the best binding of services to devices that a search finds for this very trace.",
      head: ["devices", "median", "least to most"],
      rows: rows.map(({ devicesMib, ratios }) => [
        String(devicesMib.length),
        figure(median(ratios), 2),
        `${figure(Math.min(...ratios), 2)} to ${figure(Math.max(...ratios), 2)}`,
      ]),
    },
    verdicts: rows.map(
      ({ devicesMib, ratios }): Verdict => ({
        goal: `${devicesMib.length} devices: flow / best static partition`,
        limit: 1.15,
        kind: "most",
        measured: median(ratios),
        unit: "",
        digits: 2,
      }),
    ),
  };
}

function ratioOf(devicesMib: readonly number[], seed: number): number {
  const services = mixServices();
  const wish = { seed, jobs: JOBS, load: 0.5, stickiness: 0.5, devices: devicesMib.length };
  const jobs = generate({ ...wish, arrivals: { kind: "poisson" } });
  const flow = (wanted: ReadonlySet<string>, sizes: readonly number[]): number => {
    const own = services.filter(({ name }) => wanted.has(name));
    const theirs = jobs.filter(({ service }) => wanted.has(service));
    if (theirs.length === 0) return 0;
    const world = { services: own, jobs: theirs, devicesMib: sizes, compute: "shared" as const };
    return measure(own, theirs, runOurs({ ...world, policy: fair })).meanFlowMs * theirs.length;
  };
  const all = new Set(services.map(({ name }) => name));
  return flow(all, devicesMib) / bestPartition(services, jobs, devicesMib, flow);
}

/** Local search from several starts: one service is moved as long as that helps. */
function bestPartition(
  services: readonly { readonly name: string }[],
  jobs: readonly Job[],
  devicesMib: readonly number[],
  flow: (wanted: ReadonlySet<string>, sizes: readonly number[]) => number,
): number {
  const known = new Map<string, number>();
  const partFlow = (binding: readonly number[], device: number): number => {
    const names = services.filter((_, index) => binding[index] === device).map(({ name }) => name);
    const key = `${devicesMib[device]} ${names.join(" ")}`;
    const found = known.get(key) ?? flow(new Set(names), [devicesMib[device] ?? 0]);
    known.set(key, found);
    return found;
  };
  const total = (binding: readonly number[]) =>
    devicesMib.reduce((sum, _, device) => sum + partFlow(binding, device), 0);
  let best = Number.POSITIVE_INFINITY;
  for (let start = 0; start < STARTS && jobs.length > 0; start++) {
    let binding = services.map((_, index) => (index * (start + 1) + start) % devicesMib.length);
    let least = total(binding);
    for (let improved = true; improved; ) {
      improved = false;
      for (const index of services.keys()) {
        for (const device of devicesMib.keys()) {
          const moved = binding.with(index, device);
          const value = total(moved);
          if (value >= least) continue;
          [binding, least, improved] = [moved, value, true];
        }
      }
    }
    best = Math.min(best, least);
  }
  return best;
}
