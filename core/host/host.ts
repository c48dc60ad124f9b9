/** Loads the configured backends and keeps watch over them. */
import { resolve, sep } from "node:path";
import type { TProperties } from "@sinclair/typebox";
import type { Clock } from "../clock.ts";
import type { BackendConfig, GatewayConfig, LoadedConfig, Problem } from "../config/mod.ts";
import { CATALOGUE, type ErrorCode } from "../errors.ts";
import type { Bus } from "../events/mod.ts";
import { type Log, messageOf } from "../log.ts";
import { createHttpClient } from "../sdk/http-client.ts";
import { nearest } from "../sdk/mod.ts";
import type { Context } from "../sdk/plugin.ts";
import {
  type Backend,
  type BackendOptions,
  type BackendSettings,
  createBackend,
} from "./backend.ts";
import { type Breaker, createBreaker } from "./breaker.ts";
import { createHealthLoop, type HealthLoop } from "./health.ts";
import { inTime } from "./in-time.ts";
import { builtInPlugins, loadPlugin } from "./load.ts";
import { createOwned } from "./owned.ts";
import { createRouteClaims } from "./route-claims.ts";
import { offersProblem } from "./services.ts";

/** How long a plugin may take to end what it started itself. */
const CLOSE_LIMIT_MS = 2_000;

export interface Host {
  readonly backends: readonly Backend[];
  get(name: string): Backend | undefined;
  readonly health: HealthLoop;
  /** An attempt failed there. After a failure of the server it is looked at now. */
  failed(name: string, code: ErrorCode, jobId: string): void;
  /** An attempt completed there. */
  worked(name: string): void;
  /** The backend whose plugin's file stands in the error's stack. */
  blame(error: unknown): string | undefined;
  /** Its plugin threw where nobody waits for it: degraded until the next good check. */
  distrust(name: string, reason: string): void;
  /** Stops the checks and ends what plugins started themselves. */
  close(): Promise<void>;
}

export interface HostOptions {
  readonly loaded: LoadedConfig;
  /** Folder of the configuration file. */
  readonly baseFolder: string;
  readonly clock: Clock;
  readonly bus: Bus;
  readonly log: Log;
  /** What the gateway knows of the backend's process; undefined when it does not run it. */
  readonly process?: (backend: string) => "stopped" | "starting" | "up" | undefined;
  /** Asks for a capability on behalf of a key; see `Context.call`. */
  readonly call: (keyId: string, capability: string, input: unknown) => Promise<unknown>;
}

export interface OpenedHost {
  readonly host: Host;
  readonly problems: readonly Problem[];
  /** What works but should be changed. */
  readonly warnings: readonly Problem[];
}

/** The backends, or every mistake in their part of the configuration. */
export async function openHost(options: HostOptions): Promise<OpenedHost> {
  const { loaded, clock, bus, log } = options;
  const { config } = loaded;
  const enabled = Object.entries(config.backends).filter(([, { enabled }]) => enabled);
  const loading = await Promise.all(enabled.map(([name, own]) => open(name, own, options)));
  const claim = createRouteClaims();
  // In the order of the file, so that the same backend loses at every start.
  const opened = loading.map((it) => withOwnRoutes(it, claim, options));
  const backends = opened.flatMap(({ backend }) => backend ?? []);
  const byName = new Map(backends.map((backend) => [backend.name, backend]));
  const intervalMs = config.health.interval_ms;
  const breakers = new Map<string, Breaker>(
    backends.map(({ name }) => [name, createBreaker(clock.monotonicMs)]),
  );
  const health = createHealthLoop({
    backends,
    intervalMs,
    pause: (name) => breakers.get(name)?.pause(),
    process: options.process ?? (() => undefined),
    clock,
    bus,
    log,
  });

  const host: Host = {
    backends,
    health,
    get: (name) => byName.get(name),
    failed(name, code, jobId) {
      const backend = byName.get(name);
      if (!backend) return;
      const isHeld = breakers.get(name)?.failed(code, jobId) ?? false;
      if (isHeld) health.held(backend);
      const { status } = CATALOGUE[code];
      const mayBeOut = (status === 503 && code !== "BACKEND_BUSY") || status === 504;
      if (isHeld || mayBeOut) void health.check(backend);
    },
    worked(name) {
      const backend = byName.get(name);
      if (breakers.get(name)?.worked() && backend) void health.check(backend);
    },
    blame(error) {
      const stack = error instanceof Error ? (error.stack ?? "") : "";
      return opened.find(({ folder }) => folder !== undefined && stack.includes(folder))?.backend
        ?.name;
    },
    distrust(name, reason) {
      const backend = byName.get(name);
      if (!backend) return;
      backend.state = {
        ...backend.state,
        status: "degraded",
        reason: `its plugin failed: ${reason}`,
      };
      bus.emit("backend.changed", { backend: name, status: "degraded", reason });
    },
    async close() {
      health.stop();
      await Promise.all(backends.map((backend) => closeQuietly(backend, log)));
    },
  };
  return {
    host,
    problems: opened.flatMap(({ problems }) => problems),
    warnings: opened.flatMap(({ warnings = [] }) => warnings),
  };
}

interface Opened {
  readonly backend?: Backend;
  /** Where the plugin's files lie. */
  readonly folder?: string;
  readonly problems: readonly Problem[];
  readonly warnings?: readonly Problem[];
}

async function open(
  name: string,
  own: BackendConfig,
  { loaded, baseFolder, clock, log, call }: HostOptions,
): Promise<Opened> {
  const plugin = await loadPlugin(own.use, baseFolder);
  if (plugin.kind === "missing") return { problems: [missing(name, own.use, plugin, loaded)] };
  const common = { name, use: own.use, monotonicMs: clock.monotonicMs };
  if (plugin.kind === "broken") {
    const settings = settingsOf(own, loaded.config, undefined, 1);
    return { backend: brokenBackend({ ...common, settings }, plugin.reason, log), problems: [] };
  }
  const literal = plugin.plugin;
  const checked = loaded.backend(name, literal.config as TProperties);
  const settings = settingsOf(own, loaded.config, literal.defaultUrl, literal.concurrency ?? 1);
  const http = createHttpClient({
    baseUrl: settings.url ?? "http://unconfigured.invalid",
    title: literal.title,
    headers: own.headers,
  });
  const backendLog = log.with({ backend: name });
  const owned = createOwned();
  const context = (keyId: string): Context<unknown> => ({
    backend: name,
    config: checked.settings,
    http,
    log: backendLog,
    call: <T>(capability: string, input: unknown) => call(keyId, capability, input) as Promise<T>,
    folder: resolve(loaded.config.storage.folder, "work", name),
    owns: owned.add,
  });
  const backend = createBackend({ ...common, plugin: literal, settings, context, owned });
  const { problems, warnings } = checked;
  return { backend, folder: `${plugin.folder}${sep}`, problems, warnings };
}

/** What openHost would refuse in a file, without opening anything. */
export async function checkBackends(loaded: LoadedConfig, baseFolder: string): Promise<Problem[]> {
  const enabled = Object.entries(loaded.config.backends).filter(([, { enabled }]) => enabled);
  const checked = enabled.map(async ([name, { use }]) => {
    const plugin = await loadPlugin(use, baseFolder);
    if (plugin.kind === "missing") return [missing(name, use, plugin, loaded)];
    if (plugin.kind === "broken") return [];
    return loaded.backend(name, plugin.plugin.config as TProperties).problems;
  });
  return (await Promise.all(checked)).flat();
}

function missing(
  name: string,
  use: string,
  { message }: { readonly message: string },
  loaded: LoadedConfig,
): Problem {
  const path = ["backends", name, "use"];
  const guess = nearest(use, builtInPlugins());
  const hint = guess
    ? `did you mean "${guess}"?`
    : `built-in plugins are ${builtInPlugins().join(", ")}`;
  return { line: loaded.line(path), key: path.join("."), message: `${message}; ${hint}` };
}

function brokenBackend(
  known: Pick<BackendOptions, "name" | "use" | "settings" | "monotonicMs">,
  reason: string,
  log: Log,
): Backend {
  log.error("a plugin is broken", { backend: known.name, reason });
  const context = () => {
    throw new Error(reason);
  };
  return createBackend({ ...known, plugin: undefined, broken: reason, context });
}

/**
 * The backend, or a broken one in its place when its plugin cannot say what it offers, or wants
 * routes that others have.
 */
function withOwnRoutes(
  opened: Opened,
  claim: ReturnType<typeof createRouteClaims>,
  { clock, log }: HostOptions,
): Opened {
  const { backend } = opened;
  // Wrong settings are told as such; the plugin need not make sense of them.
  if (!backend?.plugin || opened.problems.length > 0) return opened;
  const conflict = offersProblem(backend) ?? claim(backend.plugin);
  if (conflict === undefined) return opened;
  const { name, use, settings } = backend;
  const known = { name, use, settings, monotonicMs: clock.monotonicMs };
  return { ...opened, backend: brokenBackend(known, `plugin ${use}: ${conflict}`, log) };
}

function settingsOf(
  own: BackendConfig,
  config: GatewayConfig,
  defaultUrl: string | undefined,
  concurrency: number,
): BackendSettings {
  const [firstDevice = "gpu0"] = Object.keys(config.devices);
  return {
    url: own.url ?? defaultUrl,
    device: own.device ?? firstDevice,
    concurrency: own.concurrency ?? concurrency,
    queueWhenDown: own.when_down === "queue",
    queueTimeoutMs: own.queue_timeout_ms ?? config.jobs.queue_timeout_ms,
    attemptTimeoutMs: own.attempt_timeout_ms ?? config.jobs.attempt_timeout_ms,
    stallTimeoutMs: own.stall_timeout_ms ?? config.jobs.stall_timeout_ms,
    healthTimeoutMs: config.health.timeout_ms,
  };
}

async function closeQuietly(backend: Backend, log: Log): Promise<void> {
  try {
    await inTime(backend.title, CLOSE_LIMIT_MS, () =>
      backend.run(() => backend.plugin?.close?.(backend.context(""))),
    );
  } catch (error) {
    log.warn("a plugin did not close", { backend: backend.name, error: messageOf(error) });
  }
}
