/** What may stand in the argument list of a program, and where the program is. */
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { basename, delimiter, isAbsolute, join, resolve } from "node:path";
import { BackendError } from "../errors.ts";
import type { CommandNeeds } from "./types.ts";

/** Linux takes 131,072 bytes for one argument, its closing zero included. */
const MAX_ARGUMENT_BYTES = 131_071;
/** Linux takes 2 MiB for all arguments and the environment together. */
const MAX_ARGUMENTS_BYTES = 1_048_576;

/**
 * A request's text as an argument of its own. Throws BACKEND_REJECTED when it begins with "-": the
 * program would take it for an option. `--name=${text}` and a file have no such limit.
 */
export function argument(field: string, text: string): string {
  if (!text.startsWith("-")) return text;
  throw new BackendError(
    "BACKEND_REJECTED",
    `${field} begins with "-", which the program would take for an option; begin it with another character`,
  );
}

/** Throws BACKEND_REJECTED for what the system could not hand to a program. */
export function checkArguments(title: string, argv: readonly string[]): void {
  const refuse = (why: string): never => {
    throw new BackendError("BACKEND_REJECTED", `the request cannot be given to ${title}: ${why}`);
  };
  let bytes = 0;
  for (const part of argv) {
    if (part.includes("\0")) refuse("it contains a NUL character; remove it");
    const size = Buffer.byteLength(part);
    bytes += size + 1;
    if (size > MAX_ARGUMENT_BYTES) {
      refuse(`a text has ${size} bytes, and an argument holds ${MAX_ARGUMENT_BYTES}; shorten it`);
    }
  }
  if (bytes > MAX_ARGUMENTS_BYTES) {
    refuse(
      `its texts have ${bytes} bytes, and arguments hold ${MAX_ARGUMENTS_BYTES}; shorten them`,
    );
  }
}

export function hashOf(argv: readonly string[], cwd: string | undefined): string {
  return createHash("sha256")
    .update(JSON.stringify([argv, cwd]))
    .digest("hex");
}

/** Where the program is; undefined when it cannot be found or may not be run. */
export function locate(program: string, cwd: string | undefined, path = ""): string | undefined {
  if (program === "") return undefined;
  const places = isAbsolute(program)
    ? [program]
    : program.includes("/")
      ? [resolve(cwd ?? ".", program)]
      : path.split(delimiter).flatMap((folder) => (folder === "" ? [] : join(folder, program)));
  return places.find(mayRun);
}

/** What of it is missing, in words; undefined when all is there. */
export function missingOf(needs: CommandNeeds): string | undefined {
  const { program, cwd, path = process.env.PATH, files = [] } = needs;
  if (cwd !== undefined && !statSync(cwd, { throwIfNoEntry: false })?.isDirectory()) {
    return `the folder "${basename(cwd)}" does not exist`;
  }
  if (locate(program, cwd, path) === undefined) {
    return `the program "${basename(program)}" is not there, or may not be run`;
  }
  const missing = files.find((file) => !existsSync(resolve(cwd ?? ".", file)));
  return missing === undefined ? undefined : `"${basename(missing)}" does not exist`;
}

function mayRun(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
