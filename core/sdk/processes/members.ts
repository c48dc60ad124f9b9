/** Which processes belong to a child, and how signals reach all of them and nobody else. */
import { setTimeout as delay } from "node:timers/promises";
import type { Marker } from "./environment.ts";
import {
  descendantsOf,
  type Entry,
  lookUp,
  type ProcessTable,
  readTable,
  variableOf,
} from "./table.ts";

export interface Root {
  readonly pid: number;
  readonly startedAt: string;
}

export interface Membership {
  readonly root?: Root;
  /**
   * Whether the group counts when its leader has ended: yes for a leader that we saw alive, since
   * the system does not give its number away while the group has members.
   */
  readonly trustGroup: boolean;
  /** Its value is the beginning of what its processes carry. */
  readonly marker: Marker;
}

const POLL_MS = 40;
/** A process in an uninterruptible wait, for example in a GPU driver, outlives SIGKILL. */
const KILL_LIMIT_MS = 15_000;

/**
 * Its group and session, their descendants, and whatever carries its marker: a server that made
 * itself a daemon is neither in the group nor a descendant any more.
 */
export async function membersOf({ root, trustGroup, marker }: Membership): Promise<Entry[]> {
  const table = new Map(await readTable());
  // Never the gateway, nor what it started otherwise.
  table.delete(process.pid);
  table.delete(1);
  const found = new Map<number, Entry>();
  const leader = root && table.get(root.pid);
  const alive = leader !== undefined && leader.startedAt === root?.startedAt;
  // Somebody else has the number: then the group of that number is not ours either.
  const recycled = leader !== undefined && !alive;
  if (root && !recycled && (alive || trustGroup)) {
    for (const entry of table.values()) {
      if (entry.group === root.pid || entry.session === root.pid) found.set(entry.pid, entry);
    }
  }
  for (const entry of await markedIn(table, marker, root)) found.set(entry.pid, entry);
  for (const pid of descendantsOf(table, found.keys())) {
    const entry = table.get(pid);
    if (entry) found.set(pid, entry);
  }
  return [...found.values()];
}

/** The given processes with their groups, their sessions and all their descendants. */
export async function familyOf(roots: Iterable<number>): Promise<number[]> {
  const leaders = new Set(roots);
  if (leaders.size === 0) return [];
  const table = await readTable();
  const own = [...table.values()].filter(
    ({ pid, group, session }) => leaders.has(pid) || leaders.has(group) || leaders.has(session),
  );
  const pids = own.map(({ pid }) => pid);
  return [...pids, ...descendantsOf(table, pids)];
}

/** The markers of all processes that carry one which begins like this. */
export async function markersOf({
  variable,
  value: prefix,
}: Marker): Promise<Map<string, Entry[]>> {
  const found = new Map<string, Entry[]>();
  await Promise.all(
    [...(await readTable()).values()].map(async (entry) => {
      const marker = entry.pid === process.pid ? undefined : await variableOf(entry.pid, variable);
      if (marker?.startsWith(prefix)) found.set(marker, [...(found.get(marker) ?? []), entry]);
    }),
  );
  return found;
}

async function markedIn(
  table: ProcessTable,
  { variable, value: prefix }: Marker,
  root?: Root,
): Promise<Entry[]> {
  // What is older than the child cannot be of it, which spares most of the reading.
  const since = Number(root?.startedAt ?? 0);
  const young = [...table.values()].filter(({ startedAt }) => !(Number(startedAt) < since));
  const marked = await Promise.all(
    young.map(async (entry) => {
      const value = await variableOf(entry.pid, variable);
      return value?.startsWith(prefix) ? entry : undefined;
    }),
  );
  return marked.filter((entry) => entry !== undefined);
}

/**
 * SIGTERM to all, SIGKILL to those that are left after `graceMs`; the pids that even that did not
 * end.
 */
export async function endMembers(
  members: () => Promise<readonly Entry[]>,
  root: Root | undefined,
  graceMs: number,
  monotonicMs: () => number,
): Promise<readonly number[]> {
  const termUntil = monotonicMs() + graceMs;
  const killUntil = termUntil + KILL_LIMIT_MS;
  const told = new Set<number>();
  for (;;) {
    const left = await members();
    if (left.length === 0) return [];
    if (monotonicMs() >= killUntil) return left.map(({ pid }) => pid);
    if (monotonicMs() >= termUntil) {
      send(left, root, "SIGKILL");
    } else {
      // Also to those that were born since; nobody is told twice.
      send(
        left.filter(({ pid }) => !told.has(pid)),
        root,
        "SIGTERM",
      );
      for (const { pid } of left) told.add(pid);
    }
    await delay(POLL_MS);
  }
}

function send(members: readonly Entry[], root: Root | undefined, signal: NodeJS.Signals): void {
  // The group at once, so that none can be born between two signals.
  if (root && members.some(({ pid }) => pid === root.pid)) killQuietly(-root.pid, signal);
  for (const { pid, startedAt, group } of members) {
    if (group === root?.pid && members.some((other) => other.pid === root.pid)) continue;
    if (lookUp(pid)?.startedAt === startedAt) killQuietly(pid, signal);
  }
}

function killQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile, or is another user's: the next look tells.
  }
}
