/**
 * A whole yard for one trace: nine backends, each a child process of a real gateway that holds
 * memory of one simulated device, and one process that computes for all of them.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { describeDevice, openProbes } from "../../core/vram/probes/mod.ts";
import type { Service } from "../scheduler/format.ts";
import { DEVICE_MIB } from "../scheduler/mix.ts";
import { type BenchGateway, ROOT, startGateway } from "../tools/gateway.ts";
import { freePort, type Stage, until } from "../tools/stage.ts";
import { SETTINGS } from "./wish.ts";

export interface Yard {
  readonly gateway: BenchGateway;
  /** Folder of the simulated device. */
  readonly device: string;
  /** The most that was in use on it so far, in MiB. */
  peakMiB(): number;
  /** Stops the gateway in order, and with it its backends. */
  close(): Promise<void>;
}

const FIXTURES = join(ROOT, "tests", "fixtures");
/** MiB of the device for one MiB of host memory: a full device takes 24 MiB. */
const MEMORY_SCALE = 1_024;
const READY_LIMIT_MS = 60_000;
const WATCH_MS = 100;

export async function buildYard(stage: Stage, services: readonly Service[]): Promise<Yard> {
  const folder = stage.folder();
  const device = join(folder, "gpu0");
  mkdirSync(device);
  describeDevice(device, { total_mib: DEVICE_MIB });
  const compute = await stage
    .start([process.execPath, join(FIXTURES, "servers", "compute.ts")])
    .printed(/listening (\S+)/);
  const ports: number[] = [];
  for (const _ of services) ports.push(await freePort());
  const backends = services.map((service, index) =>
    backendOf(service, { port: ports[index] ?? 0, device, compute: compute[1] ?? "" }),
  );
  // Not bound to one processor: its children would be, too.
  const config = configOf(device, Object.fromEntries(backends));
  const gateway = await startGateway(stage, config, { folder, cpu: undefined });
  await until(
    "every backend is ready",
    async () => {
      const { data } = await gateway.get("/backends");
      return data.every(({ status }: { status: string }) => status === "ready");
    },
    { limitMs: READY_LIMIT_MS, everyMs: 100 },
  );
  const watched = await watchDevice(device);
  return {
    gateway,
    device,
    peakMiB: watched.peakMiB,
    async close() {
      gateway.child.kill("SIGTERM");
      await gateway.exited;
      await watched.close();
    },
  };
}

/** Every change of the folder is looked at, by whomever it was made. */
async function watchDevice(folder: string) {
  const settings = { probe: "simulated", simulated: folder, intervalMs: WATCH_MS } as const;
  const tools = { clock: systemClock, log: silentLog, env: {} };
  const probe = (await openProbes({ devices: { gpu0: settings }, ...tools })).get("gpu0");
  let peakMiB = 0;
  probe?.onChange(() => {
    const state = probe.state();
    if (state.kind === "reading") peakMiB = Math.max(peakMiB, state.reading.usedMiB);
  });
  return { peakMiB: () => peakMiB, close: async () => probe?.close() };
}

interface Where {
  readonly port: number;
  readonly device: string;
  readonly compute: string;
}

function backendOf({ name, vram_mib, load_ms, run_ms, slots }: Service, where: Where) {
  const options = { ...where, name, scale: MEMORY_SCALE };
  const server = join(FIXTURES, "servers", "model-server.ts");
  const backend = {
    use: join(FIXTURES, "plugins", "model-server"),
    url: `http://127.0.0.1:${where.port}`,
    concurrency: slots ?? 1,
    models: { [name]: { mib: vram_mib, load_ms } },
    process: { command: [process.execPath, server, JSON.stringify(options)], start: "always" },
    // Both sides know the same from the beginning, and learn nothing.
    vram: { "*": { resident_mib: vram_mib, working_mib: 0, load_ms, run_ms } },
  };
  return [name, backend] as const;
}

/** JSON is YAML. */
function configOf(device: string, backends: object): string {
  const { heavyMs, overdueAfterMs, overdueRuns, overdueShare, fairnessMs } = SETTINGS;
  return JSON.stringify({
    auth: { limits: { requests_per_minute: 0, active_jobs: 0 } },
    vram: {
      policy: "fair",
      heavy_ms: heavyMs,
      overdue_after_ms: overdueAfterMs,
      overdue_runs: overdueRuns,
      overdue_share: overdueShare,
      fairness_ms: fairnessMs,
    },
    devices: { gpu0: { probe: "simulated", simulated_folder: device, headroom_mib: 0 } },
    backends,
  });
}
