/**
 * SWITCHYARD_ADMIN_KEY_FILE: an admin key that the operator chose, for installs where nobody can
 * call the bootstrap. Only its hash is kept. The file is checked as strictly as a person would
 * forget to.
 */
import { readFileSync, type Stats, statSync } from "node:fs";
import { platform } from "node:process";
import { hashSecret } from "./keys.ts";

export interface AdminKey {
  /** SHA-256 of the whole text: it need not look like a generated key. */
  readonly hash: Buffer;
}

/**
 * The file cannot be accepted; the gateway must not start (exit code 78) and this message says why.
 */
export class UnusableAdminKeyError extends Error {
  override readonly name = "UnusableAdminKeyError";
}

/** What logs and `GET /auth/me` show instead of a generated id. */
export const ADMIN_KEY_ID = "adminkey";

const MIN_LENGTH = 32;
const MAX_LENGTH = 512;
const MIN_DISTINCT = 8;
const OTHERS_MAY_READ_OR_WRITE = 0o066;
/** What must be left without the words of examples, and what without their runs as well. */
const MIN_LEFT = { withoutWords: 24, withoutRuns: 16 };
/** What copied examples are made of. */
const EXAMPLE_WORDS =
  /change|replace|example|sample|default|placeholder|password|passphrase|secret|admin|switchyard|your|test|key|qwerty|letmein|[^0-9a-z]/g;
/**
 * Letters or digits that repeat, or follow each other in the alphabet, from this many on. One random
 * key in twenty has such a run, and one in thousands has several.
 */
const MIN_RUN = 4;

export function readAdminKeyFile(path: string): AdminKey {
  const refuse = (why: string, cause?: unknown): never => {
    throw new UnusableAdminKeyError(`SWITCHYARD_ADMIN_KEY_FILE (${path}) ${why}`, { cause });
  };
  let stats: Stats;
  let text: string;
  try {
    stats = statSync(path);
    text = stats.isFile() && stats.size <= 4 * MAX_LENGTH ? readFileSync(path, "utf8").trim() : "";
  } catch (cause) {
    const code =
      cause instanceof Error && "code" in cause ? String(cause.code) : "an unknown error";
    return refuse(`cannot be read (${code}). Create it, or unset the variable.`, cause);
  }
  if (!stats.isFile()) return refuse("is not a file. Name a file that holds only the key.");
  if (platform !== "win32" && (stats.mode & OTHERS_MAY_READ_OR_WRITE) !== 0) {
    return refuse(`is open to other users. Run: chmod 600 ${path}`);
  }
  const weakness = weaknessOf(text);
  if (weakness) return refuse(`${weakness}. Make one with: openssl rand -hex 32`);
  return { hash: hashSecret(text) };
}

/** Why this text must not be a key; undefined when it may. */
function weaknessOf(text: string): string | undefined {
  if (text.length < MIN_LENGTH)
    return `holds ${text.length} characters; at least ${MIN_LENGTH} are needed`;
  if (text.length > MAX_LENGTH) return `holds more than ${MAX_LENGTH} characters`;
  if (!/^[\x21-\x7e]+$/.test(text)) return "holds spaces or characters that no header can carry";
  if (new Set(text).size < MIN_DISTINCT) return "holds too few different characters to be a secret";
  const lower = text.toLowerCase();
  const left = (rest: string) => rest.replace(EXAMPLE_WORDS, "").length;
  const isExample =
    left(lower) < MIN_LEFT.withoutWords || left(withoutRuns(lower)) < MIN_LEFT.withoutRuns;
  return isExample ? "looks like an example" : undefined;
}

/** The text without "1234", "abcdef", "xxxx" and their like. */
function withoutRuns(text: string): string {
  let left = "";
  let run = "";
  for (const letter of text) {
    const step = letter.charCodeAt(0) - run.charCodeAt(run.length - 1);
    if (step === 0 || step === 1) {
      run += letter;
      continue;
    }
    if (run.length < MIN_RUN) left += run;
    run = letter;
  }
  return run.length < MIN_RUN ? left + run : left;
}
