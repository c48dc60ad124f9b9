/** A backend as a child of the gateway: its own session and group, its own log file. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import { messageOf } from "../log.ts";
import { environmentFor, type Marker } from "../sdk/processes/environment.ts";
import { endMembers, markersOf, membersOf, type Root } from "../sdk/processes/members.ts";
import { bootId, lookUp } from "../sdk/processes/table.ts";
import type { Driver, Sight } from "./driver.ts";
import { openLog, rotateLog, tailOf } from "./log-file.ts";
import type { Records } from "./record.ts";
import { fingerprintOf, type Run } from "./settings.ts";
import { type Exit, ProcessError } from "./state.ts";
import { within } from "./waiting.ts";

export interface ChildOptions {
  readonly backend: string;
  readonly run: Extract<Run, { kind: "command" }>;
  readonly stopTimeoutMs: number;
  /** Where logs and records are. */
  readonly folder: string;
  /** Stands for the data folder in markers. */
  readonly place: string;
  readonly records: Records;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logLimitBytes: number;
}

interface Current extends Root {
  readonly own: boolean;
  exit?: Exit;
  /** Settles when the runtime has told of the end; an adopted one has nobody who tells. */
  readonly ended: Promise<void>;
}

const TOLD_LIMIT_MS = 2_000;
const SECRET_NAME = /KEY|TOKEN|SECRET|PASS|CREDENTIAL/i;
const MIN_SECRET_LENGTH = 6;

export function createChild(options: ChildOptions): Driver {
  const { backend, run, stopTimeoutMs, folder, place, records, clock } = options;
  const fingerprint = fingerprintOf(run);
  const marker = markerOf(`${place}/${backend}/`);
  const log = join(folder, `${backend}.log`);
  let current: Current | undefined;
  let listener: (exit: Exit) => void = () => {};

  const members = () => membersOf({ root: current, trustGroup: current !== undefined, marker });

  function note({ pid, startedAt }: Root, ready: boolean): void {
    const where = { pid, startedAt, bootId: bootId() };
    records.write(backend, { kind: "command", fingerprint, ready, ...where, stopTimeoutMs });
  }

  function adopted(root: Root): void {
    const { pid, startedAt } = root;
    current = { pid, startedAt, own: false, ended: Promise.resolve() };
  }

  const driver: Driver = {
    holdsPort: true,
    async look(): Promise<Sight> {
      if (!current) return { kind: "gone", exit: {} };
      if (current.exit) return { kind: "gone", exit: current.exit };
      const { pid, startedAt, own } = current;
      const seen = lookUp(pid);
      if (seen?.startedAt === startedAt && seen.alive) return { kind: "running", pid };
      // The runtime tells the code a moment after the system shows the end.
      if (own) await within(current.ended, TOLD_LIMIT_MS);
      return { kind: "gone", exit: current?.exit ?? {} };
    },
    async launch() {
      refuseMissingFolder(backend, run.cwd);
      const child = start();
      if (child.pid === undefined) throw await refusal(backend, run.argv[0], child);
      const startedAt = lookUp(child.pid)?.startedAt ?? "";
      const told = Promise.withResolvers<void>();
      const mine: Current = { pid: child.pid, startedAt, own: true, ended: told.promise };
      current = mine;
      child.once("exit", (code, signal) => {
        mine.exit = { ...(code === null ? {} : { code }), ...(signal ? { signal } : {}) };
        told.resolve();
        if (current === mine) listener(mine.exit);
      });
      child.once("error", () => told.resolve());
      child.unref();
      try {
        note(mine, false);
      } catch (error) {
        await driver.end();
        const text = `${backend} was not started: its record could not be written (${messageOf(error)}).`;
        throw new ProcessError("not_started", text, { cause: error });
      }
    },
    async end() {
      const left = await endMembers(members, current, stopTimeoutMs, clock.monotonicMs);
      if (left.length > 0) {
        const text = `${backend} did not end: SIGKILL does not reach the processes ${left.join(", ")}. A driver may hold them; the machine may need a restart.`;
        throw new ProcessError("not_stopped", text);
      }
      if (current?.own) await within(current.ended, TOLD_LIMIT_MS);
      current = undefined;
      records.remove(backend);
    },
    async adopt() {
      const record = records.read(backend);
      const recorded = record?.kind === "command" ? record : undefined;
      const seen = recorded && recorded.bootId === bootId() ? lookUp(recorded.pid) : undefined;
      if (recorded && seen?.alive && seen.startedAt === recorded.startedAt) {
        adopted(recorded);
        if (recorded.fingerprint === fingerprint) return { ready: recorded.ready };
      } else {
        // A gateway that died between the spawn and the record leaves a leader with our marker.
        const marked = (await markersOf(marker)).get(marker.value + fingerprint) ?? [];
        const leaders = marked.filter(({ pid, session }) => pid === session);
        const [leader] = leaders;
        if (leader && leaders.length === 1) {
          adopted(leader);
          note(leader, false);
          return { ready: false };
        }
      }
      // What is left runs with other settings, or has lost its leader.
      await driver.end();
      return undefined;
    },
    pids: async () => (current ? (await members()).map(({ pid }) => pid) : []),
    lastLines: async (count) => (await tailOf(log, count)).map(withoutSecrets(run.env)),
    markReady() {
      if (current) note(current, true);
    },
    owned: () => current !== undefined,
    tend: () => rotateLog(log, options.logLimitBytes),
    onExit(heard) {
      listener = heard;
    },
  };
  return driver;

  function start(): ChildProcess {
    const [program = "", ...rest] = run.argv;
    const descriptor = openLog(log, backend, clock.nowMs(), options.logLimitBytes);
    try {
      return spawn(program, rest, {
        ...(run.cwd === undefined ? {} : { cwd: run.cwd }),
        env: environmentFor(options.env, run.env, markerOf(marker.value + fingerprint)),
        // setsid(2) on Bun and on Deno: signals of our terminal do not reach it, ours reach all of it.
        detached: true,
        stdio: ["ignore", descriptor, descriptor],
      });
    } catch (error) {
      const text = `${backend} was not started: ${messageOf(error)}. Check process.command.`;
      throw new ProcessError("not_started", text, { cause: error });
    } finally {
      closeSync(descriptor);
    }
  }
}

const markerOf = (value: string): Marker => ({ variable: "SWITCHYARD_PROCESS", value });

function refuseMissingFolder(backend: string, cwd: string | undefined): void {
  // The runtimes blame the program when its folder is missing.
  if (cwd === undefined || statSync(cwd, { throwIfNoEntry: false })?.isDirectory()) return;
  throw new ProcessError(
    "not_started",
    `${backend} was not started: the folder of process.cwd does not exist. Check it in gateway.yaml.`,
  );
}

async function refusal(backend: string, program: string | undefined, child: ChildProcess) {
  const error = await within(
    new Promise<NodeJS.ErrnoException>((told) => child.once("error", told)),
    TOLD_LIMIT_MS,
  );
  const reason = error?.code ?? "the system refused";
  const text = `${backend} was not started: "${program}" could not be run (${reason}). Check that it exists, is executable and on PATH.`;
  return new ProcessError("not_started", text, { cause: error });
}

/** A server may print its own environment when it starts. */
function withoutSecrets(env: Readonly<Record<string, string>>): (line: string) => string {
  const secrets = Object.entries(env)
    .filter(([name, value]) => SECRET_NAME.test(name) && value.length >= MIN_SECRET_LENGTH)
    .map(([, value]) => value);
  return (line) => secrets.reduce((text, secret) => text.replaceAll(secret, "[removed]"), line);
}
