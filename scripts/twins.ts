/**
 * Makes the Python environments in which the tests run real Gradio and MCP servers (tests/twins):
 * one for each version, once, in the user's cache folder, without root. What cannot be made is said,
 * and why; the tests that need it are skipped then. Ends within five minutes whatever happens.
 *
 *   node scripts/launch.mjs script twins
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import * as gradio from "../tests/twins/environments.ts";
import * as mcp from "../tests/twins/mcp/environments.ts";

const TOTAL_LIMIT_MS = 5 * 60_000;
/** Each step ends before the whole does, so that there is still time to say what was slow. */
const STEP_LIMIT_MS = 270_000;
/** The oldest that Gradio 6 runs on. */
const OLDEST_PYTHON = [3, 10] as const;

interface Wanted {
  /** "Gradio 4.44.1". */
  readonly title: string;
  readonly folder: string;
  readonly requirements: string;
  readonly reasonFile: string;
  /** Why there is none yet; undefined when there is. */
  missing(): string | undefined;
}

interface Outcome {
  readonly exitCode: number | null;
  readonly output: string;
  readonly late: boolean;
}

const python = process.env.SWITCHYARD_PYTHON ?? "python3";
const children = new Set<ChildProcess>();
const limit = setTimeout(() => {
  for (const child of children) child.kill("SIGKILL");
  console.error("The environments took longer than five minutes; the tests do without them.");
  process.exit(1);
}, TOTAL_LIMIT_MS);

const wanted: readonly Wanted[] = [
  ...gradio.MAJORS.map(gradio.environmentOf).map((it) => ({
    ...it,
    title: `Gradio ${it.version}`,
    missing: () => gradio.missing(it),
  })),
  ...mcp.LINES.map(mcp.mcpEnvironment).map((it) => ({
    ...it,
    title: `mcp ${it.version}`,
    missing: () => mcp.missing(it),
  })),
];
const absent = wanted.filter((environment) => environment.missing() !== undefined);
const noPython = absent.length === 0 ? undefined : await unfitPython();
// Side by side: most of the time is spent on waiting for the network.
await Promise.all(absent.map((environment) => make(environment, noPython)));
for (const { title, folder, missing } of wanted) console.log(missing() ?? `${title}: ${folder}`);
clearTimeout(limit);
process.exitCode = wanted.every(({ missing }) => missing() === undefined) ? 0 : 1;

/** Why the Python here cannot be used; undefined when it can. */
async function unfitPython(): Promise<string | undefined> {
  const oldest = OLDEST_PYTHON.join(".");
  const { exitCode, output } = await run([
    python,
    "-c",
    "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])",
  ]);
  if (exitCode !== 0) {
    const known = /No module named '?(\w+)/.exec(output)?.[1];
    return known === undefined
      ? `there is no ${python} (Python ${oldest} or newer)`
      : `${python} has no ${known}; install it (Debian: python3-venv)`;
  }
  const [major = 0, minor = 0] = output.trim().split(".").map(Number);
  const fits = major === OLDEST_PYTHON[0] && minor >= OLDEST_PYTHON[1];
  return fits ? undefined : `${python} is ${output.trim()}, and ${oldest} or newer is needed`;
}

async function make(environment: Wanted, noPython: string | undefined): Promise<void> {
  const { title, folder, reasonFile, requirements } = environment;
  mkdirSync(dirname(folder), { recursive: true });
  const building = `${folder}.${process.pid}`;
  const started = performance.now();
  const reason = noPython ?? (await install(building, requirements));
  if (reason === undefined) {
    // Another build may have come first; one is enough.
    if (!existsSync(folder)) renameSync(building, folder);
    rmSync(reasonFile, { force: true });
    console.log(`made ${title} in ${seconds(performance.now() - started)} s`);
  } else {
    writeFileSync(reasonFile, `${reason}\n`);
  }
  rmSync(building, { recursive: true, force: true });
}

/** Why it did not work, in one line. */
async function install(folder: string, requirements: string): Promise<string | undefined> {
  const made = await run([python, "-m", "venv", folder]);
  if (made.exitCode !== 0) return `${python} -m venv failed: ${lastLine(made.output)}`;
  const pip = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"];
  const installed = await run([`${folder}/bin/python`, ...pip, "-r", requirements]);
  if (installed.late) return `pip was not done after ${seconds(STEP_LIMIT_MS)} s`;
  if (installed.exitCode === 0) return undefined;
  const offline = /NewConnectionError|ConnectTimeout|Temporary failure in name|Max retries/i;
  return offline.test(installed.output)
    ? "the package index could not be reached"
    : `pip failed: ${lastLine(installed.output)}`;
}

function run([command = "", ...args]: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    let output = "";
    let late = false;
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    children.add(child);
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, STEP_LIMIT_MS);
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-20_000);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const end = (exitCode: number | null): void => {
      clearTimeout(timer);
      children.delete(child);
      resolve({ exitCode, output, late });
    };
    child.on("error", () => end(-1));
    child.on("close", end);
  });
}

function lastLine(output: string): string {
  return output.trim().split("\n").at(-1)?.slice(0, 300) ?? "it said nothing";
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(1);
}
