/**
 * A child's log file. The child writes it through its own descriptor, so that it needs no gateway
 * for it; the gateway only bounds its size and reads its end.
 */
import { closeSync, fstatSync, openSync, renameSync, statSync, writeSync } from "node:fs";
import { copyFile, open, truncate } from "node:fs/promises";

const TAIL_BYTES = 64 * 1024;
const LINE_LENGTH = 500;
const MAX_LINES = 200;
/** Begins each run in the file, so that an error does not show the lines of the one before. */
const RULE = "--- switchyard starts";

export const LOG_LIMIT_BYTES = 16 * 1024 * 1024;

/** A descriptor for the child; close it when it runs. A file over the limit moves to `.1` first. */
export function openLog(path: string, backend: string, nowMs: number, limitBytes: number): number {
  if (sizeOf(path) > limitBytes) renameSync(path, `${path}.1`);
  const descriptor = openSync(path, "a", 0o600);
  try {
    const gap = fstatSync(descriptor).size > 0 ? "\n" : "";
    writeSync(descriptor, `${gap}${RULE} ${backend} at ${new Date(nowMs).toISOString()}\n`);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/**
 * Keeps a file that is being written within the limit: its text becomes `.1` and it begins again.
 * A rename would not do, since the child's descriptor follows the file. Lines written meanwhile may
 * be lost.
 */
export async function rotateLog(path: string, limitBytes: number): Promise<void> {
  if (sizeOf(path) <= limitBytes) return;
  await copyFile(path, `${path}.1`);
  await truncate(path, 0);
}

/** The last lines of the last run. */
export async function tailOf(path: string, count: number): Promise<string[]> {
  const file = await open(path, "r").catch(() => undefined);
  if (!file) return [];
  try {
    const { size } = await file.stat();
    const length = Math.min(size, TAIL_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    const text = buffer.toString("utf8", 0, bytesRead);
    const begin = text.lastIndexOf(RULE);
    const run = begin < 0 ? text : text.slice(begin).replace(/^.*\n?/, "");
    return lastOf(run, count);
  } finally {
    await file.close();
  }
}

/** Plain lines for people: no colours, no control characters, none longer than 500 characters. */
export function lastOf(text: string, count: number): string[] {
  const lines = text
    .split("\n")
    .map(plain)
    .filter((line) => line !== "");
  return lines.slice(Math.max(0, lines.length - Math.min(count, MAX_LINES)));
}

/** A progress bar rewrites its line with carriage returns: the last writing counts. */
function plain(line: string): string {
  const shown = line.replace(/\r+$/, "").split("\r").at(-1) ?? "";
  return (
    shown
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed.
      .replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, "")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed.
      .replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "")
      .trimEnd()
      .slice(0, LINE_LENGTH)
  );
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
