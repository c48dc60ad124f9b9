/** How long a decision takes, and how many jobs a second the simulator does. */
import { fair } from "../../core/vram/policy/fair.ts";
import type { Verdict } from "../tools/report.ts";
import { figure, percentile } from "../tools/statistics.ts";
import type { Job, Service } from "./format.ts";
import { DEVICE_MIB, generate, mixServices } from "./mix.ts";
import { runOurs } from "./run-ours.ts";

const QUEUED = 10_000;
/** Decisions that are looked at, with the queue full. */
const FULL_FROM = 0.9 * QUEUED;

export function measureSpeed() {
  const many = spread(50);
  const full = decisions(many, 16, 1);
  const keyed = decisions(many, 16, 1_000);
  const rows = [
    ["9 services, 1 device, load 0.5", rate(mixServices(), 1, 0.5)],
    ["9 services, 1 device, overload: 10,000 and more waiting", rate(mixServices(), 1, 20)],
    ["50 services, 4 devices, load 0.7", rate(many, 4, 0.7)],
  ] as const;
  const verdicts: Verdict[] = [
    { ...us("decision p99, 10,000 queued, 50 services, 16 devices", 1_000), measured: full.p99 },
    { ...us("the same with 1,000 keys", 1_000), measured: keyed.p99 },
    {
      goal: "simulated jobs per second",
      limit: 100_000,
      kind: "least",
      measured: rows[0][1],
      unit: "",
    },
  ];
  return {
    table: {
      caption: "Speed. A decision is everything that one event leads to.",
      head: ["what", "measured"],
      rows: [
        ...rows.map(([name, jobs]) => [`jobs/s: ${name}`, figure(jobs)]),
        ["decision p50, p99, 10,000 queued, 50 services, 16 devices", micro(full)],
        ["the same with 1,000 keys", micro(keyed)],
      ],
    },
    verdicts,
  };
}

function us(goal: string, limit: number): Omit<Verdict, "measured"> {
  return { goal, limit, kind: "most", unit: "µs" };
}

function micro({ p50, p99 }: { readonly p50: number; readonly p99: number }): string {
  return `${figure(p50)} µs, ${figure(p99)} µs`;
}

/** The mix, its services repeated under other names. */
function spread(count: number): Service[] {
  const mix = mixServices();
  return Array.from({ length: count }, (_, index) => {
    const service = mix[index % mix.length] as Service;
    return { ...service, name: `${service.name}-${Math.floor(index / mix.length)}` };
  });
}

/** Jobs of the mix, dealt out to the services that repeat theirs. */
function deal(services: readonly Service[], jobs: readonly Job[], keys: number): Job[] {
  const byKind = Map.groupBy(services, ({ name }) => name.replace(/-\d+$/, ""));
  return jobs.map((job, index) => {
    const twins = byKind.get(job.service) ?? [];
    const twin = twins[(index * 7) % Math.max(1, twins.length)];
    return { ...job, service: twin?.name ?? job.service, key: `key-${index % keys}` };
  });
}

function rate(services: readonly Service[], devices: number, load: number): number {
  const wish = { seed: 1, jobs: 50_000, load, stickiness: 0.5, devices };
  const jobs = deal(services, generate({ ...wish, arrivals: { kind: "poisson" } }), 1);
  const devicesMib = new Array<number>(devices).fill(DEVICE_MIB);
  const began = performance.now();
  runOurs({ services, jobs, devicesMib, compute: "shared", policy: fair });
  return (jobs.length / (performance.now() - began)) * 1_000;
}

/** Twice as many jobs as shall wait come at a hundred times what the devices can do. */
function decisions(services: readonly Service[], devices: number, keys: number) {
  const wish = { seed: 1, jobs: 2 * QUEUED, load: 100, stickiness: 0.5, devices };
  const jobs = deal(services, generate({ ...wish, arrivals: { kind: "poisson" } }), keys);
  const took: number[] = [];
  let began = 0;
  let queued = 0;
  runOurs({
    ...{ services, jobs, compute: "shared", policy: fair },
    devicesMib: new Array<number>(devices).fill(DEVICE_MIB),
    observe(event, { view }) {
      if (event === "before") {
        queued = view.groups.reduce((sum, { size }) => sum + size, 0);
        began = performance.now();
      } else if (queued >= FULL_FROM && queued <= QUEUED + FULL_FROM) {
        took.push((performance.now() - began) * 1_000);
      }
    },
  });
  return { p50: percentile(took, 0.5), p99: percentile(took, 0.99) };
}
