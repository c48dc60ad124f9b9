/**
 * What the demo consists of: a folder, a simulated device in it, the stand-ins and the gateway as
 * processes of their own, so that the probe can tell whose memory is whose.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describeDevice } from "../../core/vram/probes/mod.ts";

export interface DemoOptions {
  readonly memoryMiB: number;
  /** 0 for any free one. */
  readonly port: number;
  readonly policy: string;
  /** Ends the start. */
  readonly signal: AbortSignal;
}

export interface Demo {
  readonly url: string;
  /** The first key, made as README.md says. */
  readonly key: string;
  readonly folder: string;
  /** Path of what the gateway prints. */
  readonly log: string;
  /** Why the demo cannot go on; settles only when a process ends by itself. */
  readonly broken: Promise<string>;
  ask<Data>(method: string, path: string, body?: unknown): Promise<Answer<Data>>;
  /** Ends all processes and removes the folder. */
  close(): Promise<void>;
}

export interface Answer<Data> {
  readonly status: number;
  /** As the route's schema has it; null in a refusal. */
  readonly data: Data;
  readonly message: string | undefined;
}

interface Program {
  readonly name: string;
  readonly child: ChildProcess;
  /** Exit code or signal. */
  readonly exited: Promise<string>;
  /** Settles with the first match in its standard output. */
  printed(pattern: RegExp, signal: AbortSignal): Promise<string>;
}

const ROOT = resolve(import.meta.dirname, "..", "..");
const FAKES = join(ROOT, "scripts", "fakes.ts");
const START_MS = 60_000;
/** The gateway finishes what it can when it stops. */
const STOP_MS = 45_000;
/** About as slow as on a real card, so that there is something to see. */
const PACE = { comfyui: ["--load-ms", "3000", "--step-ms", "120"], ollama: ["--load-ms", "2000"] };
const TOKEN_MS = ["--token-ms", "40"];

export async function openDemo(options: DemoOptions): Promise<Demo> {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-demo-"));
  const programs: Program[] = [];
  const close = async (): Promise<void> => {
    // The gateway first: it lets go of the servers while they still answer.
    for (const program of programs.toReversed()) await end(program);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    return { ...(await start(options, folder, programs)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(
  { memoryMiB, port, policy, signal: asked }: DemoOptions,
  folder: string,
  programs: Program[],
): Promise<Omit<Demo, "close">> {
  const signal = AbortSignal.any([asked, AbortSignal.timeout(START_MS)]);
  const device = join(folder, "device");
  describeDevice(device, { total_mib: memoryMiB, product: "Simulated RTX 3090" });

  const urls: Record<string, string> = {};
  for (const name of ["comfyui", "ollama"] as const) {
    const pace = [...PACE[name], ...TOKEN_MS];
    const words = [FAKES, "--only", name, "--port", "0", "--memory", device, "--attached", ...pace];
    const program = run(name, words, {}, join(folder, `${name}.log`));
    programs.push(program);
    urls[name] = await program.printed(/(http:\/\/\S+)/, signal);
  }

  const config = join(folder, "gateway.yaml");
  const log = join(folder, "gateway.log");
  writeFileSync(config, configuration(urls, policy));
  const gateway = run(
    "the gateway",
    [join(ROOT, "core", "main.ts")],
    environment(folder, port),
    log,
  );
  programs.push(gateway);
  const url = await gateway.printed(/listening\s+(http:\/\/\S+)/, signal);
  const created = await ask<{ key: string }>(url, "", "POST", "/auth/keys", { name: "demo" });
  if (created.status !== 201) throw new Error(`no first key: ${created.message}`);
  const { key } = created.data;
  const gone = programs.map(async ({ name, exited }) => `${name} has ended: ${await exited}`);
  return {
    url,
    key,
    folder,
    log,
    broken: Promise.race(gone),
    ask: (method, path, body) => ask(url, key, method, path, body),
  };
}

function configuration(urls: Readonly<Record<string, string>>, policy: string): string {
  return `# Written by \`npm run demo\`.
auth:
  limits: { requests_per_minute: 0, active_jobs: 0 }
devices:
  gpu0: { probe: simulated, simulated_folder: ./device, headroom_mib: 512 }
vram:
  policy: ${JSON.stringify(policy)}
  probe_interval_ms: 250
backends:
  comfyui: { use: comfyui, url: "${urls.comfyui}", device: gpu0 }
  ollama: { use: ollama, url: "${urls.ollama}", device: gpu0 }
  espeak: { use: espeak }
`;
}

function environment(folder: string, port: number): Record<string, string> {
  return {
    SWITCHYARD_CONFIG: join(folder, "gateway.yaml"),
    SWITCHYARD_DATA: join(folder, "data"),
    SWITCHYARD_PORT: String(port),
  };
}

/** In a process group of its own: a Ctrl-C reaches this program alone, which ends the others. */
function run(
  name: string,
  words: readonly string[],
  env: Readonly<Record<string, string>>,
  log: string,
): Program {
  const child = spawn(process.execPath, words, {
    cwd: ROOT,
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, NODE_ENV: "production", ...env },
  });
  const file = createWriteStream(log);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      file.write(chunk);
      // Enough for the start message and the reason of a start that fails.
      if (output.length < 64_000) output += chunk.toString();
    });
  }
  const exited = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(`${signal ?? `code ${code}`}\n${output}`));
  });
  return {
    name,
    child,
    exited,
    async printed(pattern, signal) {
      let over: string | undefined;
      void exited.then((reason) => {
        over = reason;
      });
      for (;;) {
        const found = pattern.exec(output)?.[1];
        if (found !== undefined) return found;
        if (over !== undefined) throw new Error(`${name} ended: ${over}`);
        if (signal.aborted) throw new Error(`${name} did not start in time:\n${output}`);
        await delay(20);
      }
    },
  };
}

async function end({ child, exited }: Program): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await exited;
  clearTimeout(late);
}

async function ask<Data>(
  url: string,
  key: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer<Data>> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      ...(key === "" ? {} : { "x-api-key": key }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const { data, error } = JSON.parse(await response.text());
  return { status: response.status, data, message: error?.message };
}
