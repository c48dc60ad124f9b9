/**
 * An operator's own probe command for one device: it prints a line of JSON for each look, and
 * either stays and goes on printing, or ends with code 0 and is run again every interval.
 */

import type { Clock } from "../../clock.ts";
import type { Log } from "../../log.ts";
import type { Cell } from "./cell.ts";
import type { Environment } from "./child.ts";
import { type Source, startLoop } from "./loop.ts";
import { parseCommandLine } from "./parse-command.ts";
import { type ProbeLimits, staleAfterMs } from "./probe.ts";

export interface CommandOptions {
  readonly cell: Cell;
  readonly argv: readonly string[];
  readonly intervalMs: number;
  readonly env: Environment;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: ProbeLimits;
}

export interface CommandSource extends Source {
  /** Settles with the first answer, good or bad. */
  readonly first: Promise<void>;
}

export function openCommand(options: CommandOptions): CommandSource {
  const { cell, argv, intervalMs, env, clock, log, limits } = options;
  let settle: () => void = () => {};
  const first = new Promise<void>((resolve) => {
    settle = resolve;
  });
  let complained = false;
  const source = startLoop({
    argv,
    env,
    clock,
    limits,
    staleMs: staleAfterMs(intervalMs, limits),
    pauseMs: intervalMs,
    endMark: "\n",
    onPiece(text, sinceMs) {
      if (text.trim() === "") return false;
      const parsed = parseCommandLine(text);
      settle();
      if (parsed.kind === "reading") {
        complained = false;
        const reading = { ...parsed.reading, atMs: clock.monotonicMs() };
        cell.publish({ kind: "reading", reading }, sinceMs);
        return true;
      }
      const reason = `the probe command printed a bad line: ${parsed.reason}`;
      if (!complained) log.warn(reason, { device: cell.device });
      complained = true;
      cell.publish({ kind: "missing", reason }, sinceMs);
      return false;
    },
    onTrouble({ reason }, sinceMs) {
      cell.publish({ kind: "missing", reason }, sinceMs);
      settle();
    },
  });
  return { ...source, first };
}
