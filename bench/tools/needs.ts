/** Programs and packages that only the comparisons need, and what to say when one is missing. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The bench cannot run here; the message says what would change that. */
export class Skipped extends Error {}

export const COMPARATORS = join(import.meta.dirname, "..", "comparators");
const PACKAGE_OF: Readonly<Record<string, string>> = {
  wrk: "wrk",
  nginx: "nginx",
  "redis-server": "redis-server",
  taskset: "util-linux",
};
const INSTALL_LIMIT_MS = 120_000;

export function has(program: string): boolean {
  return Bun.which(program, { PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` }) !== null;
}

export function missing(program: string): string {
  return `needs \`apt-get install ${PACKAGE_OF[program] ?? program}\``;
}

/** Throws Skipped unless every program is installed. */
export function need(...programs: string[]): void {
  const absent = programs.filter((program) => !has(program));
  if (absent.length > 0) throw new Skipped(absent.map(missing).join(" and "));
}

/** Installs bench/comparators when that has not been done; undefined, or why it could not be. */
export function installComparators(): string | undefined {
  const lock = readFileSync(join(COMPARATORS, "bun.lock"), "utf8");
  const marker = join(COMPARATORS, "node_modules", ".installed-lock");
  if (existsSync(marker) && readFileSync(marker, "utf8") === lock) return undefined;
  process.stderr.write("installing what is compared with, into bench/comparators ...\n");
  const { status, stderr, error } = spawnSync(
    process.execPath,
    ["install", "--frozen-lockfile", "--ignore-scripts", "--silent"],
    { cwd: COMPARATORS, encoding: "utf8", timeout: INSTALL_LIMIT_MS },
  );
  if (status === 0) {
    writeFileSync(marker, lock);
    return undefined;
  }
  const why = error?.message ?? stderr.trim().split("\n").slice(-1)[0] ?? `exit code ${status}`;
  return `needs \`bun install\` in bench/comparators, which failed: ${why}`;
}
