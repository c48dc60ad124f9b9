/** A folder for each job's process: what goes in, what comes out, its log, and who it is. */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, join } from "node:path";
import type { CommandFolders } from "./types.ts";

/** Who works in a folder; written in the same turn as the process is started. */
export interface JobRecord {
  readonly pid: number;
  readonly startedAt: string;
  readonly bootId: string;
  readonly argvHash: string;
}

/** How the program ended, as the attendant wrote it down. */
export interface EndRecord {
  readonly exitCode?: number;
  readonly signal?: string;
  readonly error?: string;
}

export interface JobFolder {
  readonly path: string;
  readonly name: string;
  readonly log: string;
  readonly endFile: string;
  /** The request's files by the names that the plugin gave them. */
  folders(files: Readonly<Record<string, string>>): CommandFolders;
  record(): JobRecord | undefined;
  writeRecord(record: JobRecord): void;
  ended(): EndRecord | undefined;
  /** Whether its job's run has come to an end in it. */
  isOver(): boolean;
  /** A job that did not end well leaves its log and nothing else. */
  markOver(isWell: boolean): void;
  remove(): void;
}

/** Folders whose run is over: what is asked for again after a crash, and logs of failures. */
const KEPT = 8;
const KEPT_MS = 3_600_000;
/** One whose job never came back for it. */
const FORGOTTEN_MS = 24 * 3_600_000;
const JOB_ID = /^[\w-]{1,64}$/;

export function newJobFolder(root: string, jobId: string): JobFolder {
  if (!JOB_ID.test(jobId)) throw new Error(`a job's id names a folder, and ${jobId} cannot`);
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const folder = jobFolder(root, basename(mkdtempSync(join(root, `${jobId}.`))));
  const { in: inside, out } = folder.folders({});
  mkdirSync(inside);
  mkdirSync(out);
  return folder;
}

export function jobFolder(root: string, name: string): JobFolder {
  const path = join(root, name);
  const read = (file: string): Record<string, unknown> | undefined => {
    try {
      const value: unknown = JSON.parse(readFileSync(join(path, file), "utf8"));
      return typeof value === "object" && value !== null ? { ...value } : undefined;
    } catch {
      return undefined;
    }
  };
  return {
    path,
    name,
    log: join(path, "run.log"),
    endFile: join(path, "end.json"),
    folders: (files) => {
      const inside = join(path, "in");
      const paths = Object.entries(files).map(([key, file]) => [key, join(inside, file)]);
      return { in: inside, out: join(path, "out"), files: Object.fromEntries(paths) };
    },
    record: () => parsedRecord(read("pid.json")),
    writeRecord(record) {
      const file = join(path, "pid.json");
      const descriptor = openSync(`${file}.new`, "w", 0o600);
      try {
        writeSync(descriptor, JSON.stringify(record));
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
      renameSync(`${file}.new`, file);
    },
    ended() {
      const { exitCode, signal, error } = read("end.json") ?? {};
      if (typeof exitCode === "number") return { exitCode };
      if (typeof signal === "string") return { signal };
      return typeof error === "string" ? { error } : undefined;
    },
    isOver: () => statSync(join(path, "over"), { throwIfNoEntry: false }) !== undefined,
    markOver(isWell) {
      if (statSync(path, { throwIfNoEntry: false }) === undefined) return;
      writeFileSync(join(path, "over"), "");
      if (isWell) return;
      for (const part of ["in", "out"]) rmSync(join(path, part), { recursive: true, force: true });
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** Those of one job, or all. */
export function jobFolders(root: string, jobId?: string): JobFolder[] {
  try {
    return readdirSync(root)
      .filter((name) => jobId === undefined || name.startsWith(`${jobId}.`))
      .map((name) => jobFolder(root, name));
  } catch {
    return [];
  }
}

/** Removes what nobody will ask for any more. */
export function tidy(root: string, isLive: (name: string) => boolean, nowMs: number): void {
  const idle = jobFolders(root)
    .filter(({ name }) => !isLive(name))
    .flatMap((folder) => {
      const changed = statSync(folder.path, { throwIfNoEntry: false });
      return changed ? [{ folder, ageMs: nowMs - changed.mtimeMs }] : [];
    })
    .sort((a, b) => a.ageMs - b.ageMs);
  const over = idle.filter(({ folder }) => folder.isOver());
  for (const [index, { folder, ageMs }] of over.entries()) {
    if (index >= KEPT || ageMs > KEPT_MS) folder.remove();
  }
  for (const { folder, ageMs } of idle) {
    if (ageMs > FORGOTTEN_MS && !folder.isOver()) folder.remove();
  }
}

/** A file can be torn or edited, and a number in it becomes the target of a signal. */
function parsedRecord(value: Record<string, unknown> | undefined): JobRecord | undefined {
  const { pid, startedAt, bootId, argvHash } = value ?? {};
  if (!Number.isSafeInteger(pid) || Number(pid) <= 1) return undefined;
  if (typeof startedAt !== "string" || startedAt === "") return undefined;
  if (typeof bootId !== "string" || typeof argvHash !== "string") return undefined;
  return { pid: Number(pid), startedAt, bootId, argvHash };
}
