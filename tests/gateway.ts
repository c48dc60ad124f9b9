/**
 * A real gateway as a child process, on Bun or on Deno, with its own data folder and port. Tests
 * talk to it as clients do. `SWITCHYARD_TEST_RUNTIME` chooses the runtime; bun when it is not set.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export const RUNTIME = process.env.SWITCHYARD_TEST_RUNTIME === "deno" ? "deno" : "bun";
const ROOT = resolve(import.meta.dir, "..");
const START_LIMIT_MS = 20_000;
const STOP_LIMIT_MS = 45_000;

export interface GatewayOptions {
  /** The text of gateway.yaml; no backends unless said. */
  readonly config?: string;
  /** Kept and used again, for restarts; a fresh temporary one unless said. */
  readonly folder?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Put before the command, for example ["strace", "-f"]. */
  readonly wrap?: readonly string[];
  /** Whether to create a first key; true unless said. */
  readonly key?: boolean;
  /** A key that exists already in `folder`. */
  readonly useKey?: string;
  readonly runtime?: "bun" | "deno";
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The parsed body, whatever its shape. */
  readonly json: any;
  /** `json.data`. */
  readonly data: any;
  /** `json.error`. */
  readonly error: any;
}

export interface CallOptions {
  readonly key?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface Gateway {
  readonly url: string;
  readonly folder: string;
  /** An admin key, unless `key: false`. */
  readonly key: string;
  readonly child: ChildProcess;
  /** Everything it printed so far. */
  readonly output: () => string;
  call(method: string, path: string, body?: unknown, options?: CallOptions): Promise<Answer>;
  /** The job when it has ended, however it did. */
  ended(jobId: string, limitMs?: number): Promise<any>;
  /** Sends the signal and waits for the exit; the exit code (null when killed). */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
  /** Stops and removes the folder. */
  remove(): Promise<void>;
}

/** The command that runs core/main.ts on the runtime. */
export function gatewayCommand(runtime: "bun" | "deno" = RUNTIME): string[] {
  const main = join(ROOT, "core", "main.ts");
  if (runtime === "bun") return [process.env.SWITCHYARD_BUN ?? process.execPath, main];
  const deno = process.env.SWITCHYARD_DENO ?? "deno";
  return [deno, "run", "--allow-all", `--config=${join(ROOT, "deno.json")}`, main];
}

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), "switchyard-test-"));
}

export async function startGateway(options: GatewayOptions = {}): Promise<Gateway> {
  const folder = options.folder ?? temporaryFolder();
  const config = join(folder, "gateway.yaml");
  // In the folder that goes with it, since a gateway that is killed cannot remove its own.
  const temporary = join(folder, "temporary");
  mkdirSync(temporary, { recursive: true });
  writeFileSync(config, options.config ?? "backends: {}\n");
  const [command = "", ...args] = [...(options.wrap ?? []), ...gatewayCommand(options.runtime)];
  const child = spawn(command, args, {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      NODE_ENV: "production",
      SWITCHYARD_CONFIG: config,
      SWITCHYARD_DATA: join(folder, "data"),
      SWITCHYARD_PORT: "0",
      TMPDIR: temporary,
      ...options.env,
    },
  });
  let output = "";
  const collect = (chunk: Buffer) => {
    output += chunk.toString();
  };
  child.stdout?.on("data", collect);
  child.stderr?.on("data", collect);
  const exited = new Promise<number | null>((done) => child.once("exit", (code) => done(code)));
  const url = await listening(() => output, exited);

  const gateway: Gateway = {
    url,
    folder,
    child,
    output: () => output,
    key: options.useKey ?? "",
    async call(method, path, body, { key = gateway.key, headers = {}, signal } = {}) {
      const response = await fetch(url + path, {
        method,
        signal,
        redirect: "manual",
        headers: {
          ...(key ? { "x-api-key": key } : {}),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        body: body === undefined || typeof body === "string" ? (body as any) : JSON.stringify(body),
      });
      const text = await response.text();
      const json = parsed(text);
      const { status } = response;
      return {
        status,
        headers: response.headers,
        text,
        json,
        data: json?.data,
        error: json?.error,
      };
    },
    async ended(jobId, limitMs = 15_000) {
      const until = Date.now() + limitMs;
      for (;;) {
        const { data } = await gateway.call("GET", `/jobs/${jobId}`);
        if (["completed", "failed", "cancelled"].includes(data?.status)) return data;
        if (Date.now() > until) {
          throw new Error(`job ${jobId} did not end in ${limitMs} ms: ${JSON.stringify(data)}`);
        }
        await Bun.sleep(20);
      }
    },
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      const late = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT_MS);
      const code = await exited;
      clearTimeout(late);
      return code;
    },
    async remove() {
      if (child.exitCode === null && child.signalCode === null) await gateway.stop("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    },
  };
  if (options.key === false || options.useKey) return gateway;
  const created = await gateway.call("POST", "/auth/keys", { name: "test" });
  if (created.status !== 201) throw new Error(`no first key: ${created.text}\n${output}`);
  return Object.assign(gateway, { key: created.data.key });
}

/** Waits until the condition holds; fails with `what` after the limit. */
export async function eventually<T>(
  what: string,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  limitMs = 10_000,
): Promise<T> {
  const until = Date.now() + limitMs;
  for (;;) {
    const result = await condition();
    if (result !== undefined && result !== false) return result as T;
    if (Date.now() > until) throw new Error(`not within ${limitMs} ms: ${what}`);
    await Bun.sleep(10);
  }
}

async function listening(output: () => string, exited: Promise<number | null>): Promise<string> {
  let code: number | null | undefined;
  void exited.then((it) => {
    code = it ?? -1;
  });
  return eventually(
    "the gateway listens",
    () => {
      if (code !== undefined) throw new Error(`the gateway exited with ${code}:\n${output()}`);
      return /listening\s+(http:\/\/\S+)/.exec(output())?.[1];
    },
    START_LIMIT_MS,
  );
}

function parsed(text: string): any {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
