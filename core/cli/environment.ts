/** What the commands of the command line touch of the world, so that tests can stand in for it. */
import type { Clock } from "../clock.ts";

export interface Output {
  write(text: string): unknown;
}

export interface CommandEnvironment {
  /** The data folder. */
  readonly folder: string;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly clock: Clock;
}

/** How a person calls this program, for help and hints. */
export const PROGRAM = "npm run switchyard --";

/** Exit codes; the two odd ones are those of BSD's sysexits.h, which service managers know. */
export const EXIT = { ok: 0, failed: 1, usage: 64, unusableStore: 78 } as const;

/** The command line itself is wrong: exit code 64, and a pointer to the help. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The command was understood but cannot be done: exit code 1. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}
