/** One `bun test` run over some files, bounded in time, with its results as data. */
import { type StdioOptions, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Case, readResults } from "./results.ts";

export interface SuiteOptions {
  readonly title: string;
  readonly files: readonly string[];
  /** Further arguments of `bun test`, such as `-t <pattern>`. */
  readonly flags: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly limitMs: number;
  /** Holds what it prints until its end, because another suite prints meanwhile. */
  readonly quiet?: boolean;
}

/** A single slow test on a busy machine is not a failure; a hanging one is, after this. */
const TEST_LIMIT_MS = 30_000;
const KILL_AFTER_MS = 3_000;
/** An operator's settings must not reach the gateways that tests start. */
const NOT_FOR_TESTS = [
  "NODE_ENV",
  "SWITCHYARD_ADMIN_KEY_FILE",
  "SWITCHYARD_CONFIG",
  "SWITCHYARD_DATA",
  "SWITCHYARD_HOST",
  "SWITCHYARD_PORT",
];

/** Never rejects: what went wrong is a failed case. */
export async function runSuite({
  title,
  files,
  flags,
  env,
  limitMs,
  quiet = false,
}: SuiteOptions): Promise<readonly Case[]> {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-results-"));
  const outcome = join(folder, "results.xml");
  const args = [
    "test",
    // Ends gateways and fakes that a killed run leaves behind.
    "--no-orphans",
    "--preload=./tests/preload.ts",
    "--dots",
    `--timeout=${TEST_LIMIT_MS}`,
    "--reporter=junit",
    `--reporter-outfile=${outcome}`,
    ...flags,
    ...files.map((file) => `./${file}`),
  ];
  const start = performance.now();
  console.log(`\n── ${title}: ${files.length} ${files.length === 1 ? "file" : "files"}`);
  try {
    const bounds = { env: { ...cleanEnvironment(), ...env }, limitMs, quiet };
    const exit = await runBounded(args, bounds);
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(`── ${title}: ${seconds} s`);
    if (exit === "late") {
      const minutes = (limitMs / 60_000).toFixed(1);
      return [{ title: `${title}: stopped after ${minutes} minutes`, outcome: "failed" }];
    }
    return readResults(readFileSync(outcome, "utf8"), flags.length > 0 ? [] : files, exit);
  } catch (error) {
    return [{ title: `${title}: bun test left no results (${error})`, outcome: "failed" }];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Bounds {
  readonly env: NodeJS.ProcessEnv;
  readonly limitMs: number;
  readonly quiet: boolean;
}

function runBounded(
  args: readonly string[],
  { env, limitMs, quiet }: Bounds,
): Promise<number | "late"> {
  return new Promise((resolve, reject) => {
    const stdio: StdioOptions = quiet ? ["ignore", "pipe", "pipe"] : "inherit";
    const child = spawn(process.execPath, args, { stdio, env });
    const held: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => void held.push(chunk));
    }
    let late = false;
    const limit = setTimeout(() => {
      late = true;
      child.kill("SIGTERM");
      setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS).unref();
    }, limitMs);
    child.once("error", reject);
    child.once("exit", (code) => {
      clearTimeout(limit);
      process.stdout.write(Buffer.concat(held));
      resolve(late ? "late" : (code ?? 1));
    });
  });
}

function cleanEnvironment(): NodeJS.ProcessEnv {
  const env = { ...process.env };
  for (const name of NOT_FOR_TESTS) delete env[name];
  return env;
}
