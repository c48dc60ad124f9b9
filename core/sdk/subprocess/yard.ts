/** Whose processes of jobs there are on a backend, those of a gateway before this one included. */
import { mkdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import type { Context } from "../plugin.ts";
import { endMembers, markersOf, membersOf, type Root } from "../processes/members.ts";
import { bootId, lookUp } from "../processes/table.ts";
import { type JobFolder, jobFolder, jobFolders, tidy } from "./job-folder.ts";
import { markerOf } from "./launch.ts";

export interface Yard {
  /** Where the folders of jobs are. */
  readonly root: string;
  /** Runs that work in a folder now, by its name. */
  readonly live: ReadonlyMap<string, number>;
  enter(name: string): void;
  /** Its run has its process now. */
  claimed(name: string): void;
  /** True when nobody is left in it. */
  leave(name: string): boolean;
  /** Removes folders that nobody will ask for any more. */
  tidy(): void;
  /** Looks after what no run has claimed; at most once at a time. */
  sweep(ctx: Context<unknown>): Promise<void>;
}

/** A process whose job does not come back for it, after a restart of the gateway. */
const UNCLAIMED_MS = 10 * 60_000;
const GRACE_MS = 10_000;

export function createYard(ctx: Context<unknown>): Yard {
  const place = join(ctx.folder, "jobs");
  mkdirSync(place, { recursive: true, mode: 0o700 });
  // As the processes' markers name it, whatever the gateway's own folder is.
  const root = realpathSync(place);
  const live = new Map<string, number>();
  const unclaimed = new Map<string, { readonly sinceMs: number; readonly release: () => void }>();
  let sweeping: Promise<void> | undefined;
  let hasLooked = false;

  function forget(name: string): void {
    unclaimed.get(name)?.release();
    unclaimed.delete(name);
  }

  async function look(own: Context<unknown>): Promise<void> {
    if (!hasLooked) {
      hasLooked = true;
      await endStrays(root, live);
    }
    for (const folder of jobFolders(root)) {
      const { name } = folder;
      if (live.has(name)) continue;
      const at = folder.isOver() ? undefined : rootOf(folder);
      if (!at || !isAlive(at)) {
        forget(name);
        continue;
      }
      const known = unclaimed.get(name);
      if (!known) {
        // What it holds on the device is this backend's, until its job takes it up.
        unclaimed.set(name, { sinceMs: performance.now(), release: own.owns(at.pid) });
      } else if (performance.now() - known.sinceMs > UNCLAIMED_MS) {
        own.log.warn("a program is ended: its job did not come back for it", { folder: name });
        await endFolder(folder);
        folder.markOver(false);
        forget(name);
      }
    }
    clear();
  }

  function clear(): void {
    tidy(root, (name) => live.has(name), Date.now());
  }

  return {
    root,
    live,
    enter: (name) => void live.set(name, (live.get(name) ?? 0) + 1),
    claimed: forget,
    tidy: clear,
    leave(name) {
      const left = (live.get(name) ?? 1) - 1;
      if (left > 0) live.set(name, left);
      else live.delete(name);
      return left === 0;
    },
    sweep(own) {
      sweeping ??= look(own).finally(() => {
        sweeping = undefined;
      });
      return sweeping;
    },
  };
}

/** The leader of what works in the folder; undefined when its number says nothing any more. */
export function rootOf(folder: JobFolder): Root | undefined {
  const record = folder.record();
  return record && record.bootId === bootId() ? record : undefined;
}

export function isAlive({ pid, startedAt }: Root): boolean {
  const seen = lookUp(pid);
  return seen?.startedAt === startedAt && seen.alive;
}

/** Ends all that works in a folder; the numbers of what does not end. */
export function endFolder(
  folder: JobFolder,
  root = rootOf(folder),
  graceMs = GRACE_MS,
  trustGroup = false,
): Promise<readonly number[]> {
  const members = () => membersOf({ root, trustGroup, marker: markerOf(folder) });
  return endMembers(members, root, graceMs, () => performance.now());
}

/** Of a gateway that died between a start and its record, or whose folder somebody removed. */
async function endStrays(root: string, live: ReadonlyMap<string, number>): Promise<void> {
  const marked = await markersOf({ variable: "SWITCHYARD_JOB", value: `${root}/` });
  for (const marker of marked.keys()) {
    const folder = jobFolder(root, marker.slice(root.length + 1).split("/")[0] ?? "");
    if (live.has(folder.name) || (folder.record() && !folder.isOver())) continue;
    await endFolder(folder);
  }
}
