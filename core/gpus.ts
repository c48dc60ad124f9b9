/** Opens what has to do with GPUs: backends' processes, and the VRAM scheduler over all devices. */
import type { Clock } from "./clock.ts";
import type { GatewayConfig } from "./config/mod.ts";
import type { Bus } from "./events/mod.ts";
import type { Host } from "./host/mod.ts";
import type { Ids } from "./ids.ts";
import type { Log } from "./log.ts";
import { createSupervisor, type Supervisor } from "./processes/mod.ts";
import type { Database } from "./storage/mod.ts";
import {
  createCostBook,
  createCostStore,
  createVram,
  type Policy,
  type Probe,
  type Vram,
} from "./vram/mod.ts";
import {
  COST_DEFAULTS,
  costOverrides,
  deviceSettings,
  localPort,
  schedulerSettings,
  supervisions,
  vramBackends,
} from "./wiring-gpu.ts";

export interface GpuOptions {
  readonly config: GatewayConfig;
  readonly configPath: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly policy: Policy;
  readonly probing: Promise<ReadonlyMap<string, Probe>>;
  readonly host: Host;
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly bus: Bus;
}

export interface Gpus {
  readonly vram: Vram;
  readonly supervisor: Supervisor;
}

export async function openGpus(options: GpuOptions): Promise<Gpus> {
  const { config, host, clock, log, bus, policy, ids } = options;
  const supervisor = createSupervisor({
    folder: config.storage.folder,
    clock,
    log,
    settings: supervisions(config, options.configPath),
    random: Math.random,
    env: options.env,
    port: (name) => localPort(host.get(name)?.settings.url),
    async health(name) {
      const health = await host.get(name)?.health();
      if (health?.status === "ready") return { ready: true };
      return { ready: false, reason: health?.reason };
    },
  });
  const costs = createCostBook({
    store: createCostStore(options.database),
    overrides: costOverrides(config),
    defaults: COST_DEFAULTS,
    clock,
    log,
  });
  const vram = createVram({
    policy,
    settings: schedulerSettings(config),
    devices: deviceSettings(config),
    backends: vramBackends(host, supervisor),
    probes: await options.probing,
    costs,
    clock,
    ids,
    log,
    bus,
  });
  bus.on("backend.changed", vram.backendChanged);
  for (const { name, owned } of host.backends) {
    owned.onChange(() => vram.jobProcessesChanged(name));
  }
  supervisor.onChange((name, { kind }) => {
    if (kind === "stopped" || kind === "failed") vram.processEnded(name);
    const backend = host.get(name);
    if (backend) void host.health.check(backend);
    vram.backendChanged();
  });
  return { vram, supervisor };
}
