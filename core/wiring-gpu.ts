/** Fits backends, their processes and the VRAM scheduler to each other, for `kernel.ts`. */
import { dirname, resolve } from "node:path";
import type { BackendConfig, GatewayConfig } from "./config/mod.ts";
import type { Host } from "./host/mod.ts";
import { accepts } from "./host/mod.ts";
import {
  listenerPids,
  type ProcessSettings,
  type ProcessState,
  type Supervised,
  type Supervisor,
} from "./processes/mod.ts";
import { familyOf } from "./sdk/processes/members.ts";
import type {
  BackendPort,
  DeviceProbeSettings,
  DeviceSettings,
  ProcessPort,
  SchedulerSettings,
  Vram,
} from "./vram/mod.ts";

type Process = NonNullable<BackendConfig["process"]>;

/** Undefined for a backend whose process the gateway does not run. */
export function supervisionOf(
  process: Process | undefined,
  configPath: string,
): ProcessSettings | undefined {
  if (!process) return undefined;
  return {
    run: runOf(process, configPath),
    start: process.start,
    readyTimeoutMs: process.ready_timeout_ms,
    stopTimeoutMs: process.stop_timeout_ms,
    idleStopMs: process.idle_stop_ms,
    stopWithGateway: process.stop_with_gateway,
    maxRestarts: process.max_restarts,
    restartWindowMs: process.restart_window_ms,
  };
}

function runOf(process: Process, configPath: string): ProcessSettings["run"] {
  const { command, cwd, env, systemd, docker } = process;
  if (systemd !== undefined) return { kind: "systemd", unit: systemd, user: process.systemd_user };
  if (docker !== undefined) return { kind: "docker", container: docker };
  const folder = cwd === undefined ? undefined : resolve(dirname(configPath), cwd);
  return { kind: "command", argv: command ?? [], cwd: folder, env };
}

/** Of every enabled backend that has a process. */
export function supervisions(
  config: GatewayConfig,
  configPath: string,
): Record<string, ProcessSettings> {
  const entries = Object.entries(config.backends).flatMap(([name, { enabled, process }]) => {
    const settings = enabled ? supervisionOf(process, configPath) : undefined;
    return settings ? [[name, settings] as const] : [];
  });
  return Object.fromEntries(entries);
}

/** What the health loop needs to know of a process. */
export function phaseOf(
  state: ProcessState | undefined,
): "stopped" | "starting" | "up" | undefined {
  if (!state) return undefined;
  if (state.kind === "stopped" || state.kind === "stopping") return "stopped";
  return state.kind === "starting" ? "starting" : "up";
}

/** Every configured backend as the VRAM scheduler uses it. */
export function vramBackends(host: Host, supervisor: Supervisor): BackendPort[] {
  return host.backends.map((backend) => {
    const { name, title, settings, memory, owned } = backend;
    const supervised = supervisor.get(name);
    return {
      ...memory,
      name,
      title,
      device: settings.device,
      concurrency: settings.concurrency,
      usable() {
        const kind = supervised?.state().kind;
        // What can be started can work; a start that fails says so to the jobs that wait for it.
        if (kind !== undefined && kind !== "ready") return kind !== "stopping";
        return accepts(backend.state);
      },
      busy: () => backend.state.status === "busy" || undefined,
      process: supervised && processPort(supervised, supervisor),
      jobsHold: () => owned.pids().length > 0,
      async pids() {
        const port = supervised ? undefined : localPort(settings.url);
        const [server, jobs] = await Promise.all([
          supervised?.pids() ?? (port === undefined ? [] : listenerPids(port)),
          familyOf(owned.pids()),
        ]);
        return [...new Set([...server, ...jobs])];
      },
    };
  });
}

function processPort(supervised: Supervised, supervisor: Supervisor): ProcessPort {
  return {
    running: () => supervised.state().kind === "ready",
    start: (signal, cause) => supervised.start(signal, cause),
    stop: (signal) => supervised.stop(signal),
    restart: (signal) => supervised.restart(signal),
    busy: (busy) => supervisor.busy(supervised.backend, busy),
    describe: () => describe(supervised.state()),
  };
}

function describe(state: ProcessState): ReturnType<ProcessPort["describe"]> {
  const iso = (timeMs: number) => new Date(timeMs).toISOString();
  switch (state.kind) {
    case "stopped":
    case "stopping":
      return { state: state.kind };
    case "starting":
      return { state: state.kind, since: iso(state.sinceMs) };
    case "ready":
      return { state: state.kind, pid: state.pid ?? null, since: iso(state.sinceMs) };
    case "failed":
      return {
        state: state.kind,
        reason: state.reason,
        last_lines: state.lastLines,
        retry_at: state.retryAtMs === undefined ? null : iso(state.retryAtMs),
      };
  }
}

/** The port of a server on this machine; undefined for others. */
export function localPort(url: string | undefined): number | undefined {
  const parsed = url === undefined ? null : URL.parse(url);
  if (!parsed || !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(parsed.hostname)) return undefined;
  return Number(parsed.port) || (parsed.protocol === "https:" ? 443 : 80);
}

export function deviceSettings(
  config: GatewayConfig,
): Record<string, DeviceSettings & { heavy: number }> {
  return Object.fromEntries(
    Object.entries(config.devices).map(([name, { memory_mib, headroom_mib, heavy }]) => [
      name,
      { memoryMiB: memory_mib, headroomMiB: headroom_mib, heavy },
    ]),
  );
}

export function probeSettings(
  config: GatewayConfig,
  configPath: string,
): Record<string, DeviceProbeSettings> {
  return Object.fromEntries(
    Object.entries(config.devices).map(([name, device]) => [
      name,
      {
        probe: device.probe,
        id: device.id,
        memoryMiB: device.memory_mib,
        command: device.probe_command,
        via: device.probe_via,
        intervalMs: config.vram.probe_interval_ms,
        simulated: device.simulated_folder && resolve(dirname(configPath), device.simulated_folder),
      },
    ]),
  );
}

export function schedulerSettings({ vram }: GatewayConfig): SchedulerSettings {
  return {
    heavyMs: vram.heavy_ms,
    overdueAfterMs: vram.overdue_after_ms,
    overdueRuns: vram.overdue_runs,
    overdueShare: vram.overdue_share,
    fairnessMs: vram.fairness_ms,
  };
}

/** The operator's word on what a model costs; `*` stands for every model without its own. */
export function costOverrides({ backends }: GatewayConfig) {
  return (backend: string, model: string) => {
    const own = backends[backend]?.vram;
    const entry = own?.[model] ?? own?.["*"];
    return (
      entry && {
        residentMiB: entry.resident_mib,
        workingMiB: entry.working_mib,
        loadMs: entry.load_ms,
        runMs: entry.run_ms,
      }
    );
  };
}

/** What is expected of a model before anything is declared or measured. */
export const COST_DEFAULTS = {
  /** A few seconds for the framework, then a disk of 2 GB/s. */
  loadMs: (residentMiB: number): number => 3_000 + residentMiB / 2,
  /** Longer than a light job: what nobody knows is not run beside another heavy one. */
  runMs: 15_000,
} as const;

/** The policy's name, or the full path of the operator's own. */
export function policyPath({ vram }: GatewayConfig, configPath: string): string {
  const { policy } = vram;
  return policy.startsWith(".") ? resolve(dirname(configPath), policy) : policy;
}

/** Whether a backend's model is on its device now, as far as the ledger knows. */
export function residentIn({ roster }: Pick<Vram, "roster">) {
  return (backend: string, model: string): boolean =>
    roster.servers
      .get(backend)
      ?.places.some((place) => place.model === model && place.state === "resident") ?? false;
}

/** What is known of each device, for the start message. */
export function inWords({ devices, probes }: Pick<Vram, "devices" | "probes">) {
  return [...devices.values()].map(({ name, limitMiB }) => {
    const probe = probes.get(name);
    const state = probe?.state();
    if (state?.kind === "reading") {
      const { product = "a device", totalMiB } = state.reading;
      const size = totalMiB.toLocaleString("en-US");
      return { name, words: `${product}, ${size} MiB, measured by ${probe?.kind}` };
    }
    const size = Number.isFinite(limitMiB)
      ? `${limitMiB.toLocaleString("en-US")} MiB to use, as configured`
      : "size unknown, so one job at a time; set memory_mib";
    const why = probe?.kind === "declared" ? "no probe" : (state?.reason ?? "no probe");
    return { name, words: `not measured (${why}); ${size}` };
  });
}
