/**
 * One gateway per data folder: a second one would schedule the same GPUs. The lock is an exclusive
 * transaction on a small SQLite file, which the operating system releases even after a kill -9.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { UnusableStoreError } from "./database.ts";

/** Returns the release. Throws UnusableStoreError when another process holds the folder. */
export function lockInstance(folder: string): () => void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const lock = new DatabaseSync(join(folder, "lock"));
  try {
    lock.exec("PRAGMA busy_timeout=0");
    lock.exec("PRAGMA locking_mode=EXCLUSIVE");
    lock.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    lock.close();
    throw new UnusableStoreError(
      `Another gateway is running on ${folder}. Stop it, or set SWITCHYARD_DATA to another folder.`,
      { cause },
    );
  }
  return () => lock.close();
}
