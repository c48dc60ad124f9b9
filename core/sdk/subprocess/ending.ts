/** What the end of a program means, in the errors that the kernel understands. */
import { BackendError } from "../errors.ts";
import type { CommandEnd } from "./types.ts";

const OUT_OF_MEMORY =
  /CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|HIP out of memory|CUDA error: out of memory/i;
/** Lines of the log that a client gets with the error. */
const SHOWN_LINES = 5;
const MAX_SHOWN = 300;
const SECRET_NAME = /KEY|TOKEN|SECRET|PASS|CREDENTIAL/i;
const MIN_SECRET_LENGTH = 6;
const SECRETS =
  /\b(?:hf|sk|ghp|gho|pat)[_-][A-Za-z0-9_-]{8,}|(?<=\bBearer\s+)[^\s"']+|(?<=:\/\/)[^\s/@]+@/g;
/** A drive or a root, and everything up to the last part of the path. */
const PATHS = /(?:\b[A-Za-z]:[\\/]|(?<![\w:/.])~?\/)(?:[^\s'"()<>|:,\\/]+[\\/])*/g;

/** Undefined when the exit itself is no reason to fail; the outputs have the last word then. */
export function failureOf(
  title: string,
  { exitCode, signal, lines }: CommandEnd,
  env: Readonly<Record<string, string>>,
): BackendError | undefined {
  if (exitCode === 0) return undefined;
  const isMemory = outOfMemory(title, lines, env);
  if (isMemory) return isMemory;
  if (exitCode === undefined && signal === undefined) {
    return failed("BACKEND_LOST", `${title} ended, and nothing tells how`, lines, env);
  }
  if (signal === "SIGKILL") {
    const what = `${title} was killed by the system (SIGKILL); perhaps the machine ran out of memory`;
    return failed("BACKEND_LOST", what, lines, env);
  }
  const how = signal === undefined ? `ended with exit code ${exitCode}` : `was ended by ${signal}`;
  return failed("BACKEND_FAILED", `${title} ${how}`, lines, env);
}

/** Also for a program that says so and ends as if all were well. */
export function outOfMemory(
  title: string,
  lines: readonly string[],
  env: Readonly<Record<string, string>>,
): BackendError | undefined {
  const said = lines.findLast((line) => OUT_OF_MEMORY.test(line));
  if (said === undefined) return undefined;
  const words = withoutPrivate(said, env);
  return new BackendError("OUT_OF_MEMORY", `${title} ran out of GPU memory: ${words}`);
}

/** A line without the folders of this machine and without what looks like a secret. */
export function withoutPrivate(line: string, env: Readonly<Record<string, string>>): string {
  const own = Object.entries(env)
    .filter(([name, value]) => SECRET_NAME.test(name) && value.length >= MIN_SECRET_LENGTH)
    .map(([, value]) => value);
  return own
    .reduce((text, secret) => text.replaceAll(secret, "[removed]"), line)
    .replace(SECRETS, "[removed]")
    .replace(PATHS, "")
    .slice(0, MAX_SHOWN);
}

function failed(
  code: "BACKEND_FAILED" | "BACKEND_LOST",
  what: string,
  lines: readonly string[],
  env: Readonly<Record<string, string>>,
): BackendError {
  const shown = lines.slice(-SHOWN_LINES).map((line) => withoutPrivate(line, env));
  const last = shown.at(-1);
  return new BackendError(code, last === undefined ? what : `${what}: ${last}`, {
    details: { last_lines: shown },
  });
}
