/** What an attempt ended with, in the words of the store. */
import { CATALOGUE, type ErrorCode, GatewayError } from "../errors.ts";
import { messageOf } from "../log.ts";
import { BackendError } from "../sdk/errors.ts";
import type { Failure } from "./retry.ts";
import type { JobError } from "./row.ts";

/** What `run` returned, with the files that it stored beside it. */
export function outputOf(result: unknown, artifacts: readonly Record<string, unknown>[]): unknown {
  const plain = typeof result === "object" && result !== null && !Array.isArray(result);
  const own = plain ? result : result === undefined ? {} : { result };
  return artifacts.length === 0 ? own : { ...own, artifacts };
}

export function isJson(value: unknown): boolean {
  try {
    JSON.stringify(value);
    return true;
  } catch {
    return false;
  }
}

/** A server's words go into messages, and it may use many. */
const MAX_MESSAGE = 2_000;

/** Errors of ours and of plugins keep their code; anything else is `what` and stays vague outside. */
export function failureOf(error: unknown, what: string): Failure {
  if (BackendError.is(error) && Object.hasOwn(CATALOGUE, error.code)) {
    const { code, details, retryAfterMs } = error;
    const message = error.message.slice(0, MAX_MESSAGE);
    return { code, message, details: isJson(details) ? details : undefined, retryAfterMs };
  }
  if (error instanceof GatewayError) {
    return { code: error.code, message: error.message, details: error.details };
  }
  const code: ErrorCode = "INTERNAL";
  return { code, message: `${what} failed: ${messageOf(error)}`.slice(0, MAX_MESSAGE) };
}

/** The failure as the job's end. */
export function errorOf({ code, message, details }: Failure): JobError {
  return { code, message, details: { ...details, retryable: CATALOGUE[code].retryable } };
}
