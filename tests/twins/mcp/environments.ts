/**
 * Where the Python environments with the MCP package are, in the versions that matter to WanGP.
 * They lie beside those of the other twins; `node scripts/launch.mjs script twins` makes them.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";

export const LINES = ["1.10", "1.30", "2.3"] as const;
export type Line = (typeof LINES)[number];

export interface McpEnvironment {
  /** As the requirements pin it: "1.10.1". */
  readonly version: string;
  readonly requirements: string;
  /** Holds the environment, or will. */
  readonly folder: string;
  /** The interpreter; it is there when `missing` is undefined. */
  readonly python: string;
  /** A file that says in one line why the environment could not be made. */
  readonly reasonFile: string;
}

export function mcpEnvironment(line: Line): McpEnvironment {
  const requirements = join(import.meta.dirname, `mcp-${line}.txt`);
  const text = readFileSync(requirements, "utf8");
  const version = /^mcp==(\S+)$/m.exec(text)?.[1] ?? "unpinned";
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 12);
  const folder = join(cacheFolder(), `mcp-${version}-${hash}`);
  const python = join(folder, "bin", "python");
  return { version, requirements, folder, python, reasonFile: `${folder}.reason` };
}

/** Why there is no environment, in words for the name of a skipped test; undefined when there is. */
export function missing({ version, python, reasonFile }: McpEnvironment): string | undefined {
  if (existsSync(python)) return undefined;
  const reason = existsSync(reasonFile) ? readFileSync(reasonFile, "utf8").trim() : undefined;
  const next = "run node scripts/launch.mjs script twins";
  return `needs mcp ${version} in Python: ${reason ?? next}`;
}

function cacheFolder(): string {
  const { XDG_CACHE_HOME: cache = "" } = process.env;
  const home = homedir();
  const base = cache !== "" ? cache : home === "" ? tmpdir() : join(home, ".cache");
  return join(base, "switchyard", "twins");
}
