/**
 * One gateway per data folder: a second one would schedule the same GPUs. The lock is an exclusive
 * transaction on a small SQLite file, which the operating system releases even after a kill -9.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { UnusableStoreError } from "./database.ts";

/** Returns the release. Throws UnusableStoreError when the folder cannot be had or is in use. */
export function lockInstance(folder: string): () => void {
  let lock: DatabaseSync | undefined;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    lock = new DatabaseSync(join(folder, "lock"));
    lock.exec("PRAGMA busy_timeout=0");
    lock.exec("PRAGMA locking_mode=EXCLUSIVE");
    lock.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    lock?.close();
    throw new UnusableStoreError(messageFor(folder, cause), { cause });
  }
  const held = lock;
  return () => held.close();
}

function messageFor(folder: string, cause: unknown): string {
  const why = cause instanceof Error ? cause.message : String(cause);
  // By its text, because Deno's error has no code.
  if (why.includes("database is locked")) {
    return `Another gateway is running on ${folder}. Stop it, or set SWITCHYARD_DATA to another folder.`;
  }
  return (
    `The data folder ${folder} cannot be used (${why}). ` +
    "It must be a folder that this user may write; set SWITCHYARD_DATA or storage.folder."
  );
}
