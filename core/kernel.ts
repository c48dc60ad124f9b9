/**
 * The composition root: the only file that knows every module. It starts them in the order in which
 * they depend on each other and stops them in the reverse one.
 */
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { artifactRoutes } from "./artifacts/mod.ts";
import { type Auth, authRoutes, createAuth, readAdminKeyFile } from "./auth/mod.ts";
import type { Clock } from "./clock.ts";
import {
  formatProblem,
  formatProblems,
  type GatewayConfig,
  type LoadedConfig,
  loadConfig,
  watchConfig,
} from "./config/mod.ts";
import { GatewayError } from "./errors.ts";
import { createBus } from "./events/mod.ts";
import { openGpus } from "./gpus.ts";
import {
  backendRoutes,
  backendToWire,
  createCatalogue,
  endpointRoutes,
  type Host,
  modelsRoutes,
  openHost,
} from "./host/mod.ts";
import { createHttp, documentationRoutes, healthRoutes, type Route } from "./http/mod.ts";
import { createIds } from "./ids.ts";
import {
  createEventStreams,
  createJobSockets,
  createJobs,
  jobRoutes,
  workRoutes,
} from "./jobs/mod.ts";
import { createLog, type Log, messageOf } from "./log.ts";
import type { Supervised } from "./processes/mod.ts";
import { provideSdk, runtimeName, serve } from "./runtime/mod.ts";
import { lockInstance, openDatabase } from "./storage/mod.ts";
import { VERSION } from "./version.ts";
import { loadPolicy, openProbes, schedulingPort, vramRoutes } from "./vram/mod.ts";
import {
  artifactsPort,
  backendPort,
  callOn,
  cataloguePort,
  choicesPort,
  devicesToWire,
  openArtifacts,
  tellChange,
} from "./wiring.ts";
import { inWords, phaseOf, policyPath, probeSettings, residentIn } from "./wiring-gpu.ts";

export interface KernelOptions {
  readonly configPath: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Ends the process: an fsync failed, so nothing that was promised can be trusted (exit 70). */
  readonly die: (reason: string) => never;
}

export interface Kernel {
  readonly url: string;
  readonly folder: string;
  readonly host: Host;
  readonly auth: Auth;
  readonly config: GatewayConfig;
  readonly log: Log;
  /** How each device is measured, in words. */
  readonly devices: readonly { readonly name: string; readonly words: string }[];
  /** Every mounted route. */
  readonly routes: readonly Route[];
  /** Drains and stops; settles when everything is closed. */
  stop(): Promise<void>;
}

/** The configuration is wrong; `message` lists every problem. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

const MAX_SOCKETS = 20_000;
/** Above the gateway's own cap, whose 413 has the envelope. */
const RUNTIME_BODY_BYTES = 1024 * 1024 * 1024;
const ARTIFACT_SWEEP_MS = 5 * 60_000;
const STOP_GRACE_MS = 1_500;
const FIRST_LOOK_MS = 1_000;

export async function startKernel(options: KernelOptions): Promise<Kernel> {
  const { configPath, env, clock } = options;
  const startedAtMs = clock.monotonicMs();
  provideSdk();
  const loaded = loadConfig({ path: configPath, env });
  const { config } = loaded;
  const log = createLog({ level: config.log.level, secrets: loaded.secrets });
  const bus = createBus(log);
  const ids = createIds(clock.nowMs);

  // Looked for while everything else is opened: a driver may take seconds for its first answer.
  const probing = openProbes({ devices: probeSettings(config, configPath), clock, log, env });
  const processes: { get?: (backend: string) => Supervised | undefined } = {};

  // Plugins are read before anything is opened, so that their settings' mistakes come out too.
  const ask: { call?: (keyId: string, kind: string, input: unknown) => Promise<unknown> } = {};
  const { host, problems, warnings } = await openHost({
    loaded,
    baseFolder: dirname(configPath),
    clock,
    bus,
    log,
    process: (name) => phaseOf(processes.get?.(name)?.state()),
    call: async (keyId, kind, input) => {
      if (!ask.call) throw new GatewayError("SHUTTING_DOWN", "The gateway is still starting");
      return ask.call(keyId, kind, input);
    },
  });
  refuseProblems(configPath, loaded, problems);
  for (const warning of [...loaded.warnings, ...warnings]) {
    log.warn(formatProblem(configPath, warning));
  }
  const adminKey = env.SWITCHYARD_ADMIN_KEY_FILE
    ? readAdminKeyFile(env.SWITCHYARD_ADMIN_KEY_FILE)
    : undefined;

  const policy = await loadPolicy(policyPath(config, configPath)).catch((error) => {
    throw new ConfigError(`${configPath}: vram.policy: ${messageOf(error)}`);
  });

  const { folder } = config.storage;
  const unlock = lockInstance(folder);
  const database = openDatabase({
    folder,
    ballastMiB: config.storage.ballast_mib,
    clock,
    onFsyncFailure: (error) => options.die(`fsync failed: ${messageOf(error)}`),
  });

  const auth = createAuth({
    database,
    clock,
    adminKey,
    startedAtMonotonicMs: clock.monotonicMs(),
    settings: {
      bootstrapWindowMs: config.auth.bootstrap_window_ms,
      failuresPerMinute: config.auth.failures_per_minute,
      maxKeyLifetimeMs: config.auth.max_key_lifetime_ms,
      limits: {
        requestsPerMinute: config.auth.limits.requests_per_minute,
        activeJobs: config.auth.limits.active_jobs,
      },
      allowedOrigins: config.http.allowed_origins,
      trustedProxies: config.http.trusted_proxies,
    },
  });

  const { artifacts, conversion } = await openArtifacts({
    config,
    configPath,
    env,
    database,
    clock,
    ids,
    log,
  });

  const { vram, supervisor } = await openGpus({
    config,
    configPath,
    env,
    policy,
    probing,
    host,
    database,
    clock,
    ids,
    log,
    bus,
  });
  processes.get = supervisor.get;
  const scheduling = schedulingPort(vram);

  const jobs = createJobs({
    database,
    clock,
    ids,
    bus,
    log,
    random: Math.random,
    admission: scheduling,
    artifacts: artifactsPort(artifacts),
    files: artifacts.inputs,
    backends: {
      get: (name) => backendPort(host, name, supervisor.get(name)),
      failed: host.failed,
      worked: host.worked,
    },
    choicesOf: choicesPort(() => catalogue),
    keyWeight: auth.gpuWeight,
    settings: {
      maxPending: config.jobs.max_pending,
      cancelGraceMs: config.jobs.cancel_grace_ms,
      logPrompts: config.log.prompts,
      drainTimeoutMs: config.jobs.drain_timeout_ms,
      retentionMs: config.jobs.retention_ms,
    },
  });
  const catalogue = createCatalogue({
    backends: host.backends,
    shortage: vram.admission.shortage,
    monotonicMs: clock.monotonicMs,
    recheck: (backend) => void host.health.check(backend),
    isResident: residentIn(vram),
    conversion,
  });
  ask.call = callOn(catalogue, jobs, clock);

  const streams = createEventStreams();
  const sockets = createJobSockets();
  let recovering = true;
  const routes: Route[] = [
    ...healthRoutes({
      version: VERSION,
      runtime: runtimeName(),
      startedAtMs,
      nowMs: clock.monotonicMs,
      details: () => ({
        backends: host.backends.map(backendToWire),
        devices: devicesToWire(vram),
        queue: jobs.counts(),
      }),
      notReady() {
        if (jobs.draining) return "The gateway is stopping";
        return recovering ? "The gateway is starting" : database.refusal()?.message;
      },
    }),
    ...authRoutes(auth),
    ...workRoutes({
      jobs,
      streams,
      scheduling,
      keyWeight: auth.gpuWeight,
      catalogue: cataloguePort(catalogue),
      nowMs: clock.nowMs,
      monotonicMs: clock.monotonicMs,
    }),
    ...jobRoutes({ jobs, streams, scheduling, sockets, maxSockets: MAX_SOCKETS }),
    ...artifactRoutes(artifacts, {
      owns: ({ keyId, scopes }, owner) => keyId === owner || scopes.has("jobs:admin"),
      keyOfJob: (jobId) => jobs.get(jobId)?.keyId,
    }),
    ...vramRoutes({
      vram,
      nowMs: clock.nowMs,
      monotonicMs: clock.monotonicMs,
      isOrphan: (jobId) => jobs.get(jobId)?.status !== "running",
      isAdmin: (scopes) => scopes.has("gpu:admin"),
    }),
    ...backendRoutes(host.backends),
    ...modelsRoutes({ catalogue, monotonicMs: clock.monotonicMs }),
    ...endpointRoutes(host.backends, log),
    ...(config.http.docs
      ? documentationRoutes(() => routes, { title: "Switchyard", version: VERSION })
      : []),
  ];
  const app = createHttp({
    routes,
    admit: auth.guard.admit,
    ids,
    log,
    boundHost: config.http.host,
    allowedHosts: config.http.allowed_hosts,
    allowedOrigins: config.http.allowed_origins,
    maxBodyBytes: config.http.max_body_bytes,
    maxUploadBytes: config.http.max_upload_bytes,
  });

  await supervisor.recover();
  await jobs.recover();
  const server = await serve({
    host: config.http.host,
    port: config.http.port,
    maxBodyBytes: RUNTIME_BODY_BYTES,
    fetch: app,
  });
  recovering = false;
  // Long enough for the start message to show most backends; it does not wait for a hanging one.
  await Promise.race([host.health.start(), delay(FIRST_LOOK_MS, undefined, { ref: false })]);

  // The devices are inspected before the first lease; until then jobs are accepted and wait.
  vram.start().catch((error) => {
    log.error("the devices could not be inspected", { error: messageOf(error) });
  });

  const unsubscribe = auth.onRevoked((keyId) => {
    sockets.close(4401, "the key has ended", keyId);
    streams.close(keyId);
  });
  const sweeper = setInterval(() => {
    artifacts.sweep().catch((error) => {
      log.warn("old artifacts were not removed", { error: messageOf(error) });
    });
  }, ARTIFACT_SWEEP_MS);
  sweeper.unref();
  const watch = watchConfig(configPath, tellChange(configPath, log), env);

  return {
    url: `http://${urlHost(config.http.host)}:${server.port}`,
    folder,
    host,
    auth,
    config,
    log,
    routes,
    devices: inWords(vram),
    async stop() {
      const drained = jobs.drain();
      sockets.close(1012, "the gateway is stopping");
      streams.close();
      await drained;
      watch.close();
      clearInterval(sweeper);
      unsubscribe();
      await vram.close();
      await supervisor.close();
      await host.close();
      await artifacts.close();
      await server.stop(STOP_GRACE_MS);
      auth.close();
      database.close();
      unlock();
    },
  };
}

function refuseProblems(
  path: string,
  { problems }: LoadedConfig,
  more: LoadedConfig["problems"],
): void {
  const all = [...problems, ...more];
  if (all.length > 0) throw new ConfigError(formatProblems(path, all));
}

function urlHost(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "localhost";
  return host.includes(":") ? `[${host}]` : host;
}
