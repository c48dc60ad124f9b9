/**
 * Makes a transport of what a plugin says about a command-line program. Every job is a process of
 * its own, which outlives the gateway: a later one finds it by its number and start time, reads its
 * log from the beginning, and goes on as if nothing had happened.
 */
import { setTimeout as delay } from "node:timers/promises";
import { BackendError } from "../errors.ts";
import type { Job } from "../job.ts";
import type { Context, Transport } from "../plugin.ts";
import type { Root } from "../processes/members.ts";
import { hashOf, missingOf } from "./argv.ts";
import { failureOf, outOfMemory } from "./ending.ts";
import { type JobFolder, jobFolder, jobFolders, newJobFolder } from "./job-folder.ts";
import { launch, notStarted, writeRequestFiles } from "./launch.ts";
import { type LogTail, tailLog } from "./log-tail.ts";
import { outputText, pickOutputs, storeOutputs } from "./outputs.ts";
import { createProgress } from "./progress.ts";
import type { CommandEnd, CommandFolders, CommandPlan, CommandSpec } from "./types.ts";
import { createYard, endFolder, isAlive, rootOf, type Yard } from "./yard.ts";

/** What is kept of a process in the job's step. */
interface Handle {
  readonly folder: string;
  readonly files: Readonly<Record<string, string>>;
}

interface Work<Config, Input> {
  readonly spec: CommandSpec<Config, Input>;
  readonly job: Job<Input>;
  readonly ctx: Context<Config>;
  readonly yard: Yard;
}

const STEP = "process";
const GRACE_MS = 10_000;
/** Without /proc each look is a process of its own. */
const POLL_MS = process.platform === "linux" ? 100 : 1_000;
/** How often a program that prints nothing is said to be alive. */
const QUIET_MS = 2_000;

export function command<Config, Input = unknown>(
  spec: CommandSpec<Config, Input>,
): Transport<Config, Input> {
  const yards = new WeakMap<object, Yard>();
  const yardOf = (ctx: Context<Config>): Yard => {
    // One object for the backend's life, so two backends never share a yard.
    const key = ctx.config as object;
    const yard = yards.get(key) ?? createYard(ctx);
    yards.set(key, yard);
    return yard;
  };
  return {
    async health(ctx) {
      const yard = yardOf(ctx);
      await yard.sweep(ctx);
      const missing = missingOf(spec.needs(ctx.config));
      if (missing !== undefined) {
        return { status: "down", reason: `${spec.title} cannot run: ${missing}` };
      }
      return { status: "ready", busy: yard.live.size > 0 };
    },
    run: (job, ctx) => run({ spec, job, ctx, yard: yardOf(ctx) }),
  };
}

async function run<Config, Input>(work: Work<Config, Input>): Promise<unknown> {
  const { job, yard } = work;
  const held: { folder?: JobFolder } = {};
  let isWell = false;
  try {
    const handle = await job.step(STEP, () => begin(work, held));
    const folder = held.folder ?? jobFolder(yard.root, handle.folder);
    if (!held.folder) yard.enter(folder.name);
    held.folder = folder;
    const output = await attend(work, folder, folder.folders(handle.files));
    isWell = true;
    return output;
  } catch (error) {
    // The step may have failed after the start: its result was not stored, so nobody comes back.
    if (held.folder) await endFolder(held.folder);
    throw error;
  } finally {
    if (held.folder && yard.leave(held.folder.name)) {
      held.folder.markOver(isWell);
      yard.tidy();
    }
  }
}

/** Starts the program, or finds the one that was started before its step was stored. */
async function begin<Config, Input>(
  { spec, job, ctx, yard }: Work<Config, Input>,
  held: { folder?: JobFolder },
): Promise<Handle> {
  for (const folder of jobFolders(yard.root, job.id)) {
    if (folder.isOver() || yard.live.has(folder.name)) continue;
    await endFolder(folder);
    folder.remove();
  }
  job.signal.throwIfAborted();
  const folder = newJobFolder(yard.root, job.id);
  yard.enter(folder.name);
  held.folder = folder;
  const files = await writeRequestFiles(spec, job, ctx.config, folder);
  const plan = await spec.plan(job, ctx.config, folder.folders(files));
  job.signal.throwIfAborted();
  launch(spec.title, folder, plan);
  return { folder: folder.name, files };
}

async function attend<Config, Input>(
  work: Work<Config, Input>,
  folder: JobFolder,
  folders: CommandFolders,
): Promise<unknown> {
  const { spec, job, ctx } = work;
  const plan = await spec.plan(job, ctx.config, folders);
  const record = folder.record();
  if (!record) throw lost(spec, "its folder is gone");
  if (record.argvHash !== hashOf(plan.argv, plan.cwd)) {
    throw lost(spec, "the settings have changed, and the program of before was ended");
  }
  const root = rootOf(folder);
  const tail = tailLog(folder.log);
  if (root) await follow(work, { folder, root, plan, tail });
  job.signal.throwIfAborted();
  tail.finish(() => {});
  const { error, ...how } = folder.ended() ?? {};
  if (error !== undefined) throw notStarted(spec.title, error);
  const text = (name: string) => outputText(folders.out, name);
  const end = { exitCode: undefined, signal: undefined, ...how, lines: tail.last, folders, text };
  return collect(work, plan, end);
}

/** Settles when nothing of the process is left, however that came about. */
async function follow<Config, Input>(
  { spec, job, ctx, yard }: Work<Config, Input>,
  at: { folder: JobFolder; root: Root; plan: CommandPlan; tail: LogTail },
): Promise<void> {
  const { folder, root, plan, tail } = at;
  const progress = createProgress(plan.progress);
  const seen = isAlive(root);
  let ending: Promise<void> | undefined;
  const end = (): Promise<void> => {
    ending ??= endFolder(folder, root, plan.graceMs ?? GRACE_MS, seen).then((left) => {
      if (left.length === 0) return;
      const text = `${spec.title} did not end: SIGKILL does not reach the processes ${left.join(", ")}`;
      throw new BackendError("BACKEND_FAILED", text);
    });
    return ending;
  };
  job.onCancel(end);
  const release = seen ? ctx.owns(root.pid) : () => {};
  yard.claimed(folder.name);
  let toldAtMs = performance.now();
  let fraction: number | undefined;
  let stage: string | undefined;
  const look = (): void => {
    const isNew = tail.read((line) => {
      ({ fraction = fraction, stage = stage } = progress.line(line) ?? {});
    });
    const isQuiet = plan.quiet === true && performance.now() - toldAtMs > QUIET_MS;
    if (!isNew && !isQuiet) return;
    toldAtMs = performance.now();
    job.progress(fraction, stage);
  };
  try {
    do {
      look();
      await delay(POLL_MS, undefined, { signal: job.signal }).catch(() => {});
    } while (!job.signal.aborted && isAlive(root));
    // Its children must not outlive it, and a cancelled one may have some that are told only now.
    await end();
    look();
  } finally {
    release();
  }
}

async function collect<Config, Input>(
  { spec, job, ctx }: Work<Config, Input>,
  plan: CommandPlan,
  end: CommandEnd,
): Promise<unknown> {
  const { title } = spec;
  const env = plan.env ?? {};
  const failure = (await plan.failure?.(end)) ?? failureOf(title, end, env);
  if (failure) throw failure;
  const { folders, lines, text } = end;
  const picked = await pickOutputs(title, folders.out, plan.outputs).catch((error) => {
    throw outOfMemory(title, lines, env) ?? error;
  });
  const artifacts = await storeOutputs(job, picked);
  const { config } = ctx;
  const facts = await spec.facts?.({ job, config, folders, lines, text, artifacts });
  return { files: artifacts.map(({ url }) => url), ...facts };
}

function lost<Config, Input>({ title }: CommandSpec<Config, Input>, why: string): BackendError {
  return new BackendError("BACKEND_LOST", `${title} did not finish its work: ${why}`);
}
