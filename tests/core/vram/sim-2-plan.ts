/** What a random world of SIM-2 consists of, and what goes wrong in it: all drawn from its seed. */
import type { Device, Group, Server } from "../../../core/vram/ledger.ts";
import type { Scheduler } from "../../../core/vram/scheduler.ts";

/** The product's rules, faster. */
export const SETTINGS = {
  overdueAfterMs: 5_000,
  overdueRuns: 2,
  heavyMs: 2_000,
  overdueShare: 0.25,
  fairnessMs: 4_000,
};

export interface WorldShape {
  readonly seed: number;
  readonly policy: "fair" | "fifo" | "exclusive";
  readonly compute: "shared" | "lane";
  readonly devices: number;
  readonly services: number;
  readonly jobs: number;
  /** Evictions and loads take time and fail, memory comes and goes, the scheduler crashes. */
  readonly trouble: boolean;
  /** One key, one priority, one model a server: what the bound on waiting is stated for. */
  readonly plain?: boolean;
}

export interface Told {
  ended: number;
  withdrawn: number;
  loads: number;
  crashes: number;
}

export interface Model {
  readonly name: string;
  readonly mib: number;
  readonly workingMiB: number;
  readonly loadMs: number;
  readonly runMs: number;
  readonly server: number;
}

export interface ServerPlan {
  readonly name: string;
  readonly slots: number;
  readonly frees: "model" | "everything";
}

export interface Plan {
  readonly sizes: readonly number[];
  readonly servers: readonly ServerPlan[];
  readonly models: readonly Model[];
}

export function drawPlan(
  { devices, services, trouble, plain }: WorldShape,
  random: () => number,
): Plan {
  const below = (count: number) => Math.floor(random() * Math.max(1, count));
  const sizes = times(devices, () => 4_000 + below(24_000));
  const servers = times(
    services,
    (index): ServerPlan => ({
      name: `s${index}`,
      slots: 1 + below(3),
      frees: trouble && below(5) === 0 ? "everything" : "model",
    }),
  );
  const largest = Math.max(...sizes);
  const models = times(services + (plain ? 0 : below(4)), (index): Model => {
    const mib = Math.floor(largest * (0.05 + 0.85 * random()));
    return {
      name: `m${index}`,
      mib,
      workingMiB: below(3) === 0 ? below(largest - mib) : 0,
      loadMs: 50 + below(1_500),
      runMs: below(3) === 0 ? 2_500 + below(6_000) : 20 + below(1_500),
      server: index < services ? index : below(services),
    };
  });
  return { sizes, servers, models };
}

export interface JobPlan {
  readonly model: number;
  readonly key: string;
  readonly priority: number;
  readonly runMs: number;
  /** It must begin within this. */
  readonly hurryMs: number | undefined;
}

export function drawJob({ plain }: WorldShape, { models }: Plan, random: () => number): JobPlan {
  const below = (count: number) => Math.floor(random() * count);
  const model = Math.min(below(models.length), below(models.length));
  return {
    model,
    key: plain ? "" : `k${below(3)}`,
    priority: !plain && below(4) === 0 ? below(10) : 5,
    // The estimate is off by up to four times, both ways.
    runMs: Math.max(1, Math.floor(models[model]!.runMs * 4 ** (2 * random() - 1))),
    hurryMs: !plain && below(20) === 0 ? below(8_000) : undefined,
  };
}

export interface Trouble {
  readonly kind: "foreign" | "away" | "crash" | "vanish";
  /** Of the device or the server. */
  readonly index: number;
  readonly mib: number;
  readonly fromMs: number;
  readonly toMs: number;
}

export function drawTroubles({ sizes, servers }: Plan, untilMs: number, random: () => number) {
  const below = (count: number) => Math.floor(random() * Math.max(1, count));
  return times(below(6), (): Trouble => {
    const kind = (["foreign", "away", "crash", "vanish"] as const)[below(4)]!;
    const index = below(kind === "foreign" ? sizes.length : servers.length);
    const fromMs = below(untilMs + 1);
    const mib = below((sizes[index] ?? 0) * 0.7);
    return { kind, index, mib, fromMs, toMs: fromMs + below(20_000) };
  });
}

export interface Stage {
  readonly devices: Device[];
  readonly servers: Server[];
  readonly groups: Group[];
}

/** Tells a scheduler of the devices, the servers and where each model may stand. */
export function build(scheduler: Scheduler, plan: Plan, compute: Device["compute"]): Stage {
  const devices = plan.sizes.map((limitMiB, index) =>
    scheduler.addDevice({ name: `gpu${index}`, limitMiB, compute, heavyLimit: 1 }),
  );
  const servers = plan.servers.map((server) => scheduler.addServer(server));
  const largest = Math.max(...plan.sizes);
  const groups = plan.models.map(({ name, mib, loadMs, server: at }) => {
    const server = servers[at]!;
    const homes = devices.filter(
      // A server that frees everything is one process, on one device.
      ({ limitMiB }) => mib <= limitMiB && (server.frees === "model" || limitMiB === largest),
    );
    const places = homes.map((device) =>
      scheduler.addPlace({ server, device, model: name, residentMiB: mib, loadMs }),
    );
    return scheduler.addGroup(name, places);
  });
  return { devices, servers, groups };
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}
