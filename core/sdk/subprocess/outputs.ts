/** Finds the files that a program made, and stores them. */
import { openAsBlob } from "node:fs";
import { lstat, readdir, readFile, realpath } from "node:fs/promises";
import { basename, extname, join, sep } from "node:path";
import { BackendError } from "../errors.ts";
import type { Artifact, Job } from "../job.ts";
import { typeOf } from "./media.ts";
import type { CommandOutput } from "./types.ts";

interface Found {
  /** Below `out/`, with "/" between its parts. */
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
  readonly changedAtMs: number;
}

export interface Picked {
  readonly output: CommandOutput;
  readonly files: readonly Found[];
}

const MAX_DEPTH = 8;
const MAX_FILES = 10_000;
const MAX_TEXT_BYTES = 1024 * 1024;
/** Files of one output that are stored. */
const MAX_STORED = 64;

/** What belongs to each output. Throws BACKEND_BAD_OUTPUT when one is missing or empty. */
export async function pickOutputs(
  title: string,
  out: string,
  outputs: readonly CommandOutput[],
): Promise<Picked[]> {
  const all = await filesBelow(out);
  return outputs.map((output) => ({ output, files: pick(title, all, output) }));
}

/** In order; those of role `output`. */
export async function storeOutputs(job: Job, picked: readonly Picked[]): Promise<Artifact[]> {
  const stored: Artifact[] = [];
  for (const { output, files } of picked) {
    const { role, metadata, mediaType } = output;
    for (const file of files) {
      const type = mediaType ?? typeOf(file.path);
      const artifact = await job.artifact(await openAsBlob(file.path), {
        name: output.name === undefined ? basename(file.path) : output.name + extname(file.path),
        ...(type === undefined ? {} : { mediaType: type }),
        ...(role === undefined ? {} : { role }),
        ...(metadata === undefined ? {} : { metadata: { ...metadata } }),
      });
      if (role !== "preview") stored.push(artifact);
    }
  }
  return stored;
}

/** A text that the program wrote below `out/`; undefined for a link, which may point anywhere. */
export async function outputText(out: string, name: string): Promise<string | undefined> {
  try {
    const root = await realpath(out);
    const path = join(root, name);
    const { size } = await lstat(path);
    const isOwn = path.startsWith(`${root}${sep}`) && (await realpath(path)) === path;
    if (!isOwn || size > MAX_TEXT_BYTES) return undefined;
    return await readFile(path, "utf8");
  } catch {
    return undefined;
  }
}

/** `*` and `?` within a name, `**` for any folders, `{a,b}`. */
export function globToRegExp(glob: string): RegExp {
  let depth = 0;
  const source = glob.replace(/\*\*\/|\*\*|[\s\S]/g, (part) => {
    if (part === "**/") return "(?:[^/]+/)*";
    if (part === "**") return ".*";
    if (part === "*") return "[^/]*";
    if (part === "?") return "[^/]";
    if (part === "{") depth++;
    if (part === "{") return "(?:";
    if (part === "}" && depth > 0) {
      depth--;
      return ")";
    }
    if (part === "," && depth > 0) return "|";
    return part.replace(/[.+^$()|[\]\\}]/, "\\$&");
  });
  return new RegExp(`^${source}${")".repeat(depth)}$`, "s");
}

function pick(title: string, all: readonly Found[], output: CommandOutput): readonly Found[] {
  const { glob, except, take = "newest", optional = false } = output;
  const wanted = globToRegExp(glob);
  const unwanted = except === undefined ? undefined : globToRegExp(except);
  const matching = all.filter(({ name }) => wanted.test(name) && !unwanted?.test(name));
  const files = optional ? matching.filter(({ sizeBytes }) => sizeBytes > 0) : matching;
  const bad = (what: string) =>
    new BackendError("BACKEND_BAD_OUTPUT", `${title} ended without an error, but ${what}`);
  if (files.length === 0) {
    if (optional) return [];
    throw bad(`made no file like ${glob}`);
  }
  if (take === "one" && files.length > 1) {
    throw bad(`made ${files.length} files like ${glob} where one was expected`);
  }
  const chosen =
    take === "all" ? files.slice(0, MAX_STORED) : files.toSorted(newestFirst).slice(0, 1);
  if (chosen.some(({ sizeBytes }) => sizeBytes === 0)) throw bad(`its file like ${glob} is empty`);
  return chosen;
}

function newestFirst(a: Found, b: Found): number {
  return b.changedAtMs - a.changedAtMs || (a.name < b.name ? 1 : -1);
}

async function filesBelow(out: string): Promise<Found[]> {
  const found: Found[] = [];
  async function visit(folder: string, prefix: string, depth: number): Promise<void> {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      if (found.length >= MAX_FILES) return;
      const path = join(folder, entry.name);
      const name = prefix + entry.name;
      if (entry.isDirectory() && depth < MAX_DEPTH) await visit(path, `${name}/`, depth + 1);
      // A link may point anywhere, so it is no output.
      if (!entry.isFile()) continue;
      const { size: sizeBytes, mtimeMs: changedAtMs } = await lstat(path);
      found.push({ name, path, sizeBytes, changedAtMs });
    }
  }
  await visit(out, "", 0);
  return found;
}
