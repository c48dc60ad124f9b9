/**
 * Where the Python environments of the twins are: one for each Gradio version, outside of the
 * repository so that it survives, under a name that changes with its requirements.
 * `node scripts/launch.mjs script twins` makes them.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";

/** Major versions of Gradio. */
export const MAJORS = [4, 5, 6] as const;
export type Major = (typeof MAJORS)[number];

export const MAKE = "node scripts/launch.mjs script twins";

export interface Environment {
  readonly major: Major;
  /** As the requirements pin it: "4.44.1". */
  readonly version: string;
  readonly requirements: string;
  /** Holds the environment, or will. */
  readonly folder: string;
  /** The interpreter; it is there when `missing` is undefined. */
  readonly python: string;
  /** A file that says in one line why the environment could not be made. */
  readonly reasonFile: string;
}

export function environmentOf(major: Major): Environment {
  const requirements = join(import.meta.dirname, `gradio-${major}.txt`);
  const text = readFileSync(requirements, "utf8");
  const version = /^gradio==(\S+)$/m.exec(text)?.[1] ?? "unpinned";
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 12);
  const folder = join(cacheFolder(), `gradio-${version}-${hash}`);
  const python = join(folder, "bin", "python");
  return { major, version, requirements, folder, python, reasonFile: `${folder}.reason` };
}

/** Why there is no environment, in words for the name of a skipped test; undefined when there is. */
export function missing({ version, python, reasonFile }: Environment): string | undefined {
  if (existsSync(python)) return undefined;
  const reason = existsSync(reasonFile) ? readFileSync(reasonFile, "utf8").trim() : undefined;
  return `needs Gradio ${version} in Python: ${reason ?? `run ${MAKE}`}`;
}

function cacheFolder(): string {
  const { XDG_CACHE_HOME: cache = "" } = process.env;
  const home = homedir();
  const base = cache !== "" ? cache : home === "" ? tmpdir() : join(home, ".cache");
  return join(base, "switchyard", "twins");
}
