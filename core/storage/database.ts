/**
 * The embedded database: one SQLite file, one writing process, every promise kept on disk.
 * See docs/operations.md for what to do when it refuses to open.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Clock } from "../clock.ts";
import { GatewayError } from "../errors.ts";
import { createDiskSpace } from "./disk-space.ts";
import { drizzleOver, type Queries } from "./drizzle.ts";
import { createGroupCommit, type GroupCommit, type WriteOptions } from "./group-commit.ts";

export interface Database {
  /** Prepared SQL for the hot paths. */
  readonly sqlite: DatabaseSync;
  /** Typed queries for everything else. Synchronous; use inside `write` to change something. */
  readonly queries: Queries;
  /** Runs `work` in the next group commit; the promise settles after it. */
  write<T>(work: () => T, options?: WriteOptions): Promise<T>;
  flush(): void;
  /** Undefined, or why new work is refused (a full disk). */
  refusal(): GatewayError | undefined;
  close(): void;
}

/** The store cannot be used; the process ends with exit code 78 and this message. */
export class UnusableStoreError extends Error {
  override readonly name = "UnusableStoreError";
}

export interface DatabaseOptions {
  /** The data folder; made when it is missing. */
  readonly folder: string;
  readonly ballastMiB: number;
  readonly clock: Clock;
  /**
   * Called when an fsync failed: the state of the file is unknown and the process must end (70).
   */
  readonly onFsyncFailure: (error: unknown) => void;
}

const MIGRATIONS = join(import.meta.dirname, "migrations");
const SQLITE_FULL = 13;
const SQLITE_IOERR = 10;
const SQLITE_IOERR_FSYNC = 1034;

export function openDatabase(options: DatabaseOptions): Database {
  const { folder } = options;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const sqlite = openFile(folder);
  const disk = createDiskSpace(folder, options.ballastMiB, options.clock);

  const commits: GroupCommit = createGroupCommit(sqlite, {
    admits: (essential) => (essential ? undefined : disk.refusal()),
    retry(error) {
      const code = errorCode(error);
      // Before anything is tried again: a second fsync may succeed without the lost pages.
      if (code === SQLITE_IOERR_FSYNC) options.onFsyncFailure(error);
      return code === SQLITE_FULL && disk.release();
    },
    failure(error) {
      const code = errorCode(error);
      if (code === SQLITE_FULL) {
        disk.release();
        return (
          disk.refusal() ?? new GatewayError("STORAGE_FULL", undefined, { retryAfterMs: 5_000 })
        );
      }
      if (code !== undefined && (code & 0xff) === SQLITE_IOERR) {
        return new GatewayError("STORAGE_FAILED", undefined, { cause: error, retryAfterMs: 5_000 });
      }
      return error instanceof Error ? error : new Error(String(error));
    },
  });

  return {
    sqlite,
    queries: drizzleOver(sqlite),
    write: commits.write,
    flush: commits.flush,
    refusal: disk.refusal,
    close() {
      commits.flush();
      sqlite.close();
    },
  };
}

/** SQLite's extended result code, where the error has one. */
function errorCode(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  if ("errcode" in error && typeof error.errcode === "number") return error.errcode;
  if (/disk is full/.test(error.message)) return SQLITE_FULL;
  return /disk I\/O error/.test(error.message) ? SQLITE_IOERR : undefined;
}

function openFile(folder: string): DatabaseSync {
  const path = join(folder, "switchyard.db");
  const marker = join(folder, "instance");
  if (existsSync(marker) && (!existsSync(path) || statSync(path).size === 0)) {
    throw new UnusableStoreError(
      `${path} is missing or empty, but ${marker} says that this folder held data. ` +
        "Restore the database from a backup, or remove the marker to start afresh.",
    );
  }
  try {
    const sqlite = new DatabaseSync(path);
    // First, or a second process dies with "database is locked" at the switch to WAL.
    sqlite.exec("PRAGMA busy_timeout=5000");
    sqlite.exec("PRAGMA journal_mode=WAL");
    sqlite.exec("PRAGMA synchronous=FULL");
    sqlite.exec("PRAGMA foreign_keys=ON");
    const check = sqlite.prepare("PRAGMA quick_check(1)").get();
    if (check?.quick_check !== "ok") throw new Error(String(check?.quick_check));
    migrate(sqlite);
    if (!existsSync(marker)) writeFileSync(marker, `${crypto.randomUUID()}\n`, { mode: 0o600 });
    return sqlite;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UnusableStoreError(
      `${path} cannot be used (${why}). Nothing was changed. Restore it from a backup, ` +
        "or move the data folder away to start afresh.",
      { cause },
    );
  }
}

/**
 * Applies `migrations/NNNN_name.sql` in order, each in a transaction; `user_version` counts them.
 */
function migrate(sqlite: DatabaseSync): void {
  const files = readdirSync(MIGRATIONS)
    .filter((name) => name.endsWith(".sql"))
    .sort();
  const applied = Number(sqlite.prepare("PRAGMA user_version").get()?.user_version);
  if (applied > files.length) {
    throw new Error(`it was written by a newer version (schema ${applied} > ${files.length})`);
  }
  files.slice(applied).forEach((name, index) => {
    sqlite.exec("BEGIN IMMEDIATE");
    try {
      sqlite.exec(readFileSync(join(MIGRATIONS, name), "utf8"));
      sqlite.exec(`PRAGMA user_version=${applied + index + 1}`);
      sqlite.exec("COMMIT");
    } catch (error) {
      sqlite.exec("ROLLBACK");
      throw error;
    }
  });
}
