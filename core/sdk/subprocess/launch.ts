/** Starts a program for a job: its files, its environment, its own session, and its record. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { BackendError } from "../errors.ts";
import type { Job } from "../job.ts";
import { environmentFor } from "../processes/environment.ts";
import type { Root } from "../processes/members.ts";
import { bootId, lookUp } from "../processes/table.ts";
import { checkArguments, hashOf, locate } from "./argv.ts";
import type { JobFolder } from "./job-folder.ts";
import { endingOf } from "./media.ts";
import type { CommandPlan, CommandSpec } from "./types.ts";

const ATTENDANT = fileURLToPath(new URL("attendant.ts", import.meta.url));
/** A name of the plugin's own, of one part. */
const FILE_NAME = /^[A-Za-z0-9][\w.-]{0,99}$/;

/** Puts the request's files into `in/`; their names there, by the plugin's names. */
export async function writeRequestFiles<Config, Input>(
  spec: CommandSpec<Config, Input>,
  job: Job<Input>,
  config: Config,
  folder: JobFolder,
): Promise<Record<string, string>> {
  const names: Record<string, string> = {};
  for (const [key, reference] of Object.entries(spec.files?.(job.input, config) ?? {})) {
    if (!reference) continue;
    const file = await job.file(reference);
    const name = `${checkedName(key)}.${endingOf(file.mediaType)}`;
    const target = await open(join(folder.folders({}).in, name), "wx", 0o600);
    try {
      const blob = await file.blob();
      for await (const piece of blob.stream()) await target.write(piece);
    } finally {
      await target.close();
    }
    names[key] = name;
  }
  return names;
}

/** Throws before anything runs when the plan cannot be started. */
export function launch(title: string, folder: JobFolder, plan: CommandPlan): Root {
  const { argv, cwd, env = {}, files = {} } = plan;
  const [program = "", ...args] = argv;
  checkArguments(title, argv);
  const found = locate(program, cwd, env.PATH ?? process.env.PATH);
  if (found === undefined) {
    throw notStarted(title, `the program "${basename(program)}" is not there, or may not be run`);
  }
  const { in: inside } = folder.folders({});
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(inside, checkedName(name)), content, { mode: 0o600 });
  }
  const log = openSync(folder.log, "a", 0o600);
  try {
    const child = start(folder, [resolve(cwd ?? folder.path), found, ...args], env, log);
    // What cannot be run has no number; it is an error below, not an event for nobody.
    child.on("error", () => {});
    child.unref();
    if (child.pid === undefined) throw notStarted(title, "the system refused");
    const startedAt = lookUp(child.pid)?.startedAt ?? "";
    const root = { pid: child.pid, startedAt };
    folder.writeRecord({ ...root, bootId: bootId(), argvHash: hashOf(argv, cwd) });
    return root;
  } finally {
    closeSync(log);
  }
}

/** In the environment of all that works in the folder. */
export function markerOf({ path }: JobFolder) {
  return { variable: "SWITCHYARD_JOB", value: `${path}/` } as const;
}

function start(
  folder: JobFolder,
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  log: number,
): ChildProcess {
  const { deno } = process.versions as Record<string, string | undefined>;
  const runtime = deno === undefined ? [] : ["run", "--quiet", "--allow-all", "--no-config"];
  return spawn(process.execPath, [...runtime, ATTENDANT, folder.endFile, ...command], {
    // Not the program's folder: a runtime reads settings and .env files where it starts.
    cwd: folder.path,
    env: environmentFor(process.env, { PYTHONUNBUFFERED: "1", ...env }, markerOf(folder)),
    detached: true,
    stdio: ["ignore", log, log],
  });
}

function checkedName(name: string): string {
  if (FILE_NAME.test(name)) return name;
  throw new Error(`"${name}" cannot name a file in the job's folder`);
}

export function notStarted(title: string, why: string): BackendError {
  return new BackendError("BACKEND_UNREACHABLE", `${title} could not be started: ${why}`);
}
