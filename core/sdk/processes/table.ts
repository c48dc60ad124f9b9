/** What runs on this machine: from /proc on Linux, from ps elsewhere. */
import { execFile, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { promisify } from "node:util";

export interface Entry {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** Tells a process from a later one with its number: clock ticks after boot, or a date. */
  readonly startedAt: string;
}

type Sighted = Entry & { readonly alive: boolean };

export type ProcessTable = ReadonlyMap<number, Entry>;

const PS_TIMEOUT_MS = 5_000;
const PS_MAX_BYTES = 16 * 1024 * 1024;
const PS_COLUMNS = ["-o", "pid=,ppid=,pgid=,stat=,lstart="];
const ON_LINUX = process.platform === "linux";

/** Everything that is alive; a zombie holds nothing any more and is left out. */
export async function readTable(): Promise<ProcessTable> {
  const entries = ON_LINUX ? await fromProc() : await fromPs();
  return new Map(entries.filter(({ alive }) => alive).map((entry) => [entry.pid, entry]));
}

/**
 * At once, for the moment after a spawn and the one before a signal. Unlike the table it knows
 * zombies, so that the start of a process that has just died can still be read.
 */
export function lookUp(pid: number): Sighted | undefined {
  if (!ON_LINUX) {
    const { stdout } = spawnSync("ps", [...PS_COLUMNS, "-p", String(pid)], { encoding: "utf8" });
    return parsePs(stdout ?? "").at(0);
  }
  try {
    return parseStat(pid, readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return undefined;
  }
}

/** Changes with every boot, since pids and start times begin again. */
export function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "unknown";
  }
}

/** The children of the given ones, theirs, and so on; without the given ones. */
export function descendantsOf(table: ProcessTable, roots: Iterable<number>): number[] {
  const children = new Map<number, number[]>();
  for (const { pid, parent } of table.values()) {
    const siblings = children.get(parent);
    if (siblings) siblings.push(pid);
    else children.set(parent, [pid]);
  }
  const seen = new Set(roots);
  const found: number[] = [];
  const open = [...seen];
  for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
    for (const child of children.get(pid) ?? []) {
      if (seen.has(child)) continue;
      seen.add(child);
      found.push(child);
      open.push(child);
    }
  }
  return found;
}

/** The value of a variable in the environment a process was started with; Linux only. */
export async function variableOf(pid: number, name: string): Promise<string | undefined> {
  try {
    const all = await readFile(`/proc/${pid}/environ`, "latin1");
    const prefix = `${name}=`;
    return all
      .split("\0")
      .find((entry) => entry.startsWith(prefix))
      ?.slice(prefix.length);
  } catch {
    // Gone, or another user's.
    return undefined;
  }
}

async function fromProc(): Promise<Sighted[]> {
  const names = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const entries = await Promise.all(
    names.map(async (name) => {
      try {
        return parseStat(Number(name), await readFile(`/proc/${name}/stat`, "utf8"));
      } catch {
        return undefined;
      }
    }),
  );
  return entries.filter((entry) => entry !== undefined);
}

/** proc_pid_stat(5): the name in parentheses may hold anything, so counting begins behind it. */
function parseStat(pid: number, text: string): Sighted {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state = "", parent, group, session] = fields;
  return {
    pid,
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    startedAt: fields[19] ?? "",
    // The first thread may have ended while others still hold memory.
    alive: !/[ZXx]/.test(state) || Number(fields[17]) > 1,
  };
}

async function fromPs(): Promise<Sighted[]> {
  const options = { timeout: PS_TIMEOUT_MS, maxBuffer: PS_MAX_BYTES };
  const { stdout } = await promisify(execFile)("ps", ["-A", ...PS_COLUMNS], options);
  return parsePs(stdout);
}

function parsePs(text: string): Sighted[] {
  return text.split("\n").flatMap((line) => {
    const [, pid, parent, group, state = "", startedAt = ""] =
      /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.+?)\s*$/.exec(line) ?? [];
    if (pid === undefined) return [];
    // A child of ours leads its group and its session, so the group stands for both.
    const numbers = { pid: Number(pid), parent: Number(parent), group: Number(group) };
    return [{ ...numbers, session: numbers.group, startedAt, alive: !state.startsWith("Z") }];
  });
}
