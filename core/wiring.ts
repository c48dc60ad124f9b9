/** Fits the modules' ports to each other, for `kernel.ts`: siblings know ports, not siblings. */
import { dirname, resolve } from "node:path";
import { type TObject, Type as t } from "@sinclair/typebox";
import {
  type Artifacts,
  artifactToWire,
  createArtifacts,
  findFfmpeg,
  type StoredArtifact,
} from "./artifacts/mod.ts";
import { scopeOfCapability } from "./auth/mod.ts";
import type { Principal } from "./auth/principal.ts";
import { SCOPES } from "./auth/scopes.ts";
import type { Clock } from "./clock.ts";
import { formatProblems, type GatewayConfig, type LoadedConfig } from "./config/mod.ts";
import { type ErrorCode, GatewayError } from "./errors.ts";
import {
  type Catalogue,
  type Choice,
  type ConversionPort,
  checkBackends,
  type Host,
  type Resolved,
  requestSchema,
  type Service,
} from "./host/mod.ts";
import type { Ids } from "./ids.ts";
import {
  type ArtifactsPort,
  type BackendPort,
  type CataloguePort,
  type Choices,
  type Jobs,
  type JobsOptions,
  type ResolvedWork,
  type ServicePort,
  workOf,
} from "./jobs/mod.ts";
import type { Log } from "./log.ts";
import type { Supervised } from "./processes/mod.ts";
import type { Database } from "./storage/mod.ts";
import type { Vram } from "./vram/mod.ts";

/** Longest that a plugin waits for work which it asked another backend to do. */
const CALL_TIMEOUT_MS = 30 * 60_000;
const CALL_PRIORITY = 5;

export function artifactsPort(artifacts: Artifacts): ArtifactsPort {
  return {
    put: artifacts.put,
    removeOfJob: artifacts.removeOfJob,
    wire: (artifact) => artifactToWire(artifact as StoredArtifact),
  };
}

/** `supervised`: the process that the gateway runs for it. */
export function backendPort(
  host: Host,
  name: string,
  supervised?: Supervised,
): BackendPort | undefined {
  const backend = host.get(name);
  if (!backend) return undefined;
  return {
    ...backend.settings,
    title: backend.title,
    capability: backend.capability,
    context: backend.context,
    run: backend.run,
    stopProcess: supervised && (() => supervised.stop()),
    async busy() {
      const health = await backend.health();
      // A server that is gone computes nothing; one that cannot tell may.
      return health.status === "ready" ? health.busy !== false : health.status === "degraded";
    },
  };
}

export function cataloguePort(catalogue: Catalogue): CataloguePort {
  const byKind = new Map(catalogue.services.map((service) => [service.kind, service]));
  return {
    services: catalogue.services.map(serviceOf),
    async resolve(kind, body, principal) {
      const service = byKind.get(kind);
      if (!service) throw new GatewayError("NOT_FOUND", `No backend offers ${kind}`);
      return workFrom(await catalogue.resolve(service, body, principal));
    },
  };
}

function serviceOf({ kind, route, offers }: Service): ServicePort {
  // Several backends with one plugin and the same settings take the same.
  const inputs = new Map(
    offers.map(({ capability, takes }) => {
      const input = t.Pick(capability.input as TObject, [...takes]);
      return [JSON.stringify(input), input] as const;
    }),
  );
  const schemas = [...inputs.values()].map((input) => t.Composite([input, requestSchema]));
  const names = [...new Set(offers.map(({ backend }) => backend.title))].join(", ");
  const [first] = offers;
  return {
    kind,
    route,
    scope: scopeOfCapability(kind),
    summary: `${kind} (${names})`,
    bodySchema: schemas.length === 1 && schemas[0] ? schemas[0] : t.Union(schemas),
    example: first?.capability.example,
  };
}

function workFrom({ choices, input, fields, model }: Resolved): ResolvedWork {
  const [first, ...others] = choices;
  return {
    choices: [named(first), ...others.map(named)],
    anyBackend: fields.backend === undefined,
    queueTimeoutMs: first.backend.settings.queueTimeoutMs,
    input,
    model,
    priority: fields.priority,
    startBy: fields.start_by,
    timeoutMs: fields.timeout_ms,
    tag: fields.tag,
    stream: fields.stream ?? false,
  };
}

function named({ backend, demand }: Choice): Choices[number] {
  return { backend: backend.name, demand };
}

/** The choices of a job that waits again; `catalogue` is asked when it does. */
export function choicesPort(catalogue: () => Catalogue): JobsOptions["choicesOf"] {
  return ({ capability, backend, input, firstChoice }, bound) => {
    const isOpen = !bound && firstChoice !== null;
    const [first, ...others] = catalogue().choicesOf({ kind: capability, backend, input, isOpen });
    // Nobody of that name offers it any more; it waits until its time is over.
    return first ? [named(first), ...others.map(named)] : [{ backend }];
  };
}

/** `Context.call`: work that a plugin asks for is a job like any other, of the same key. */
export function callOn(catalogue: Catalogue, jobs: Jobs, clock: Clock) {
  const port = cataloguePort(catalogue);
  return async (keyId: string, kind: string, input: unknown): Promise<unknown> => {
    const limits = { requestsPerMinute: 0, activeJobs: 0 };
    // What the key may do was checked when it asked the plugin.
    const principal: Principal = { keyId, name: "plugin", scopes: new Set(SCOPES), limits };
    const resolved = await port.resolve(kind, input, principal);
    const work = workOf(kind, resolved, limits, clock.nowMs());
    const { row } = await jobs.submit({ ...work, keyId, priority: CALL_PRIORITY });
    const ended = await jobs.ended(row.id, CALL_TIMEOUT_MS);
    if (ended?.status === "completed") return ended.output;
    const { code, message } = ended?.error ?? { code: "STALLED", message: `${kind} did not end` };
    throw new GatewayError(code as ErrorCode, message);
  };
}

/** The store of files, and what it can make of sounds. */
export async function openArtifacts(options: {
  readonly config: GatewayConfig;
  readonly configPath: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
}): Promise<{ readonly artifacts: Artifacts; readonly conversion: ConversionPort }> {
  const { config, configPath, env, ...ports } = options;
  const { ffmpeg: wanted, retention_ms, max_bytes } = config.artifacts;
  const isWord = wanted === "auto" || wanted === "off";
  const setting = isWord ? wanted : resolve(dirname(configPath), wanted);
  const ffmpeg = await findFfmpeg({ setting, env });
  if (ffmpeg.problem) {
    ports.log[isWord ? "info" : "warn"]("sounds are kept as they are", { reason: ffmpeg.problem });
  }
  const artifacts = createArtifacts({
    ...ports,
    folder: config.storage.folder,
    ffmpeg,
    settings: { retentionMs: retention_ms, maxBytes: max_bytes },
  });
  return { artifacts, conversion: ffmpeg };
}

/** The devices in short, for GET /health; GET /vram tells everything. */
export function devicesToWire({ devices, admission }: Pick<Vram, "devices" | "admission">) {
  const granted = [...admission.granted.values()];
  return [...devices.values()].map((device) => ({
    name: device.name,
    memory_mib: Number.isFinite(device.limitMiB) ? device.limitMiB : null,
    job_id: granted.find(({ running }) => running?.place.device === device)?.request.jobId ?? null,
  }));
}

/** A changed file is checked at once, so that a mistake is not found at the next start. */
export function tellChange(path: string, log: Log): (changed: LoadedConfig) => Promise<void> {
  return async (changed) => {
    const problems = [...changed.problems, ...(await checkBackends(changed, dirname(path)))];
    if (problems.length === 0) log.info("the configuration changed; restart to apply it", { path });
    else log.warn(`the changed configuration is wrong:\n${formatProblems(path, problems)}`);
  };
}
