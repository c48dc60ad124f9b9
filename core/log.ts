/**
 * The log: one JSON object a line on standard output. Whatever looks like a key or a ticket is
 * removed from the finished line, wherever it came from; prompts are only logged when the operator
 * asks for it.
 */
import { type Level, type Logger as Pino, pino } from "pino";
import type { Logger } from "./sdk/plugin.ts";

export interface Log extends Logger {
  /** A log whose lines carry these fields too. */
  with(fields: Record<string, unknown>): Log;
}

export interface LogOptions {
  readonly level: Level;
  /** Values that must never appear, for example credentials that the config took from `${ENV}`. */
  readonly secrets?: readonly string[];
  readonly write?: (line: string) => void;
}

const KEYS = /sy_[0-9A-Za-z]{8}_[0-9A-Za-z]{6,}/g;
const QUERY_SECRETS = /([?&](?:ticket|key|token)=)[^&\s"]+/g;
const MIN_SECRET_LENGTH = 6;

export function createLog({ level, secrets = [], write }: LogOptions): Log {
  const hidden = secrets.filter((secret) => secret.length >= MIN_SECRET_LENGTH);
  const print = write ?? ((line: string) => void process.stdout.write(line));
  const scrub = (line: string): string => {
    let clean = line.replace(KEYS, "sy_[removed]").replace(QUERY_SECRETS, "$1[removed]");
    for (const secret of hidden) clean = clean.replaceAll(secret, "[removed]");
    return clean;
  };
  const root = pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: label } },
    { write: (line: string) => print(scrub(line)) },
  );
  return over(root);
}

/** A log that says nothing. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLog,
};

/** The message of whatever was thrown, without its stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const label = (name: string) => ({ level: name });

function over(target: Pino): Log {
  return {
    debug: (message, fields = {}) => target.debug(fields, message),
    info: (message, fields = {}) => target.info(fields, message),
    warn: (message, fields = {}) => target.warn(fields, message),
    error: (message, fields = {}) => target.error(fields, message),
    with: (fields) => over(target.child(fields)),
  };
}
