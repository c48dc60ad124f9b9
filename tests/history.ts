/**
 * What clients did and saw, as one JSON object a line, in the manner of Jepsen: `invoke` before a
 * request, then `ok`, `fail` (certainly without effect) or `info` (nobody knows).
 */
import { appendFileSync, readFileSync } from "node:fs";

export type Operation = "submit" | "cancel" | "steal";

export interface Entry {
  readonly kind: "invoke" | "ok" | "fail" | "info";
  readonly operation: Operation;
  /** Names the request; a submitted job carries it as its tag. */
  readonly id: string;
  readonly job?: string;
  readonly status?: number;
  /** Monotonic milliseconds. */
  readonly atMs: number;
}

export interface History {
  readonly file: string;
  add(entry: Omit<Entry, "atMs">): void;
}

export function openHistory(file: string): History {
  return {
    file,
    add(entry) {
      appendFileSync(file, `${JSON.stringify({ ...entry, atMs: performance.now() })}\n`);
    },
  };
}

export function readHistory(file: string): Entry[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}
