/** Puts a request into the operator's argument list: each text stays inside its one argument. */
import { argument, BackendError } from "switchyard/sdk";
import type { Settings } from "./settings.ts";

/** Undefined for a field that neither the request nor the settings give. */
export type Lookup = (name: string) => string | undefined;

const PLACE = /\{\{\s*([a-z0-9_.]+)\s*\}\}/g;
/** Given by the gateway. */
export const FOLDERS = new Set(["in", "out", "job_id"]);

/** The names between braces, in the order of their appearance. */
export function namesIn(template: string): string[] {
  return [...template.matchAll(PLACE)].map(([, name = ""]) => name);
}

/** Every template of the settings that a request goes into. */
export function templatesOf({ command, files }: Settings): string[] {
  return [...command.flat(), ...Object.values(files)];
}

/** The fields of a request that have a place in the settings. */
export function fieldsIn(config: Settings): string[] {
  const names = templatesOf(config).flatMap(namesIn);
  const fields = [...names, ...config.required].map((name) => name.split(".")[0] ?? "");
  return [...new Set(fields)].filter((name) => !FOLDERS.has(name));
}

/** Arguments without a value are left out, and so is a list in which one has none. */
export function fillArguments(config: Settings, lookup: Lookup): string[] {
  return config.command.flatMap((part) => {
    const filled = [part].flat().map((template) => fill(template, lookup, "argument"));
    return filled.includes(undefined) ? [] : filled.filter((it) => it !== undefined);
  });
}

/** A file with a text that is not there is empty at that place. */
export function fillFiles(config: Settings, lookup: Lookup): Record<string, string> {
  const or = (name: string) => lookup(name) ?? "";
  const filled = Object.entries(config.files).map(([name, template]) => [name, fill(template, or)]);
  return Object.fromEntries(filled);
}

/** Why a request cannot be put into the command; undefined when it can. */
export function refusalOf(config: Settings, lookup: Lookup): string | undefined {
  const absent = config.required.find((name) => lookup(name) === undefined);
  if (absent !== undefined) return `${absent} is required here`;
  try {
    const long = fillArguments(config, lookup).find((it) => it.includes("\0"));
    return long === undefined ? undefined : "a text must not contain a NUL character";
  } catch (error) {
    if (BackendError.is(error)) return error.message;
    throw error;
  }
}

function fill(template: string, lookup: Lookup, as?: "argument"): string | undefined {
  const names = namesIn(template);
  if (names.some((name) => lookup(name) === undefined)) return undefined;
  const filled = template.replace(PLACE, (_, name: string) => lookup(name) ?? "");
  // What begins with a request's text could become an option of the program.
  const [first = ""] = names;
  const isOpen = as === "argument" && /^\{\{/.test(template) && !FOLDERS.has(first);
  return isOpen ? argument(first, filled) : filled;
}
