/** The real gateway, as a pinned child process on a folder and a port of its own. */
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Program, type Stage, until } from "./stage.ts";

export const ROOT = resolve(import.meta.dirname, "..", "..");
export const MAIN = join(ROOT, "core", "main.ts");
/** The gateway under test runs here; what loads it runs on LOAD_CPU. */
export const GATEWAY_CPU = 0;
export const LOAD_CPU = 1;

export interface BenchGateway extends Program {
  readonly url: string;
  readonly key: string;
  readonly folder: string;
  post(path: string, body: unknown): Promise<Answer>;
  get(path: string): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly data: any;
}

/** Configuration without limits: what is measured is work, not refusals. */
export function unlimited(backends: string): string {
  return `auth:
  limits:
    requests_per_minute: 0
    active_jobs: 0
jobs:
  max_pending: 10000000
log:
  level: warn
backends:
${backends}`;
}

/** One backend of `bench/plugins`. */
export function benchBackend(plugin: string, settings: Readonly<Record<string, unknown>> = {}) {
  const lines = Object.entries({ use: join(import.meta.dirname, "..", "plugins", plugin) }).concat(
    Object.entries(settings) as [string, string][],
  );
  return `  ${plugin}:\n${lines.map(([name, value]) => `    ${name}: ${value}\n`).join("")}`;
}

export async function startGateway(
  stage: Stage,
  config: string,
  { folder = stage.folder(), cpu = GATEWAY_CPU as number | undefined, flags = [] as string[] } = {},
): Promise<BenchGateway> {
  const path = join(folder, "gateway.yaml");
  writeFileSync(path, config);
  const program = stage.start([process.execPath, ...flags, MAIN], {
    cpu,
    cwd: ROOT,
    env: gatewayEnvironment(path, join(folder, "data"), 0),
  });
  const [, url = ""] = await program.printed(/listening\s+(http:\/\/\S+)/);
  const ask = async (method: string, path: string, key: string, body?: unknown) => {
    const response = await fetch(url + path, {
      method,
      headers: { "content-type": "application/json", ...(key ? { "x-api-key": key } : {}) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const { data } = (await response.json()) as Answer;
    return { status: response.status, data };
  };
  const { data } = await ask("POST", "/auth/keys", "", { name: "bench" });
  const key: string = data.key;
  const gateway: BenchGateway = {
    ...program,
    url,
    key,
    folder,
    post: (path, body) => ask("POST", path, key, body),
    get: (path) => ask("GET", path, key),
  };
  await until("every backend was looked at", async () => {
    const { data } = await gateway.get("/backends");
    return data.every((backend: { status: string }) => backend.status !== "starting");
  });
  return gateway;
}

export function gatewayEnvironment(config: string, data: string, port: number) {
  return {
    SWITCHYARD_CONFIG: config,
    SWITCHYARD_DATA: data,
    SWITCHYARD_HOST: "127.0.0.1",
    SWITCHYARD_PORT: String(port),
  };
}
