/**
 * Finds the plugin that a backend's `use` names: a built-in (a folder of `plugins/`), a path
 * (relative to the configuration file), or an npm package. What exists but does not work makes its
 * backend `down`; what does not exist is a mistake in the configuration.
 */
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { isAbsolute, join, resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { messageOf } from "../log.ts";
import type { AnyPlugin } from "../sdk/plugin.ts";
import { checkManifest } from "./manifest.ts";

export type LoadedPlugin =
  | { readonly kind: "plugin"; readonly plugin: AnyPlugin; readonly folder: string }
  | { readonly kind: "broken"; readonly reason: string }
  | { readonly kind: "missing"; readonly message: string };

const PROJECT = join(import.meta.dirname, "..", "..");
const BUILT_IN = join(PROJECT, "plugins");
const LOAD_TIMEOUT_MS = 10_000;

export function builtInPlugins(folder: string = BUILT_IN): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, "plugin.ts")))
    .map((entry) => entry.name)
    .sort();
}

/** Never throws. `baseFolder` is where the configuration file lies. */
export async function loadPlugin(use: string, baseFolder: string): Promise<LoadedPlugin> {
  const file = locate(use, baseFolder);
  if (file === undefined) {
    const message = `no built-in plugin, file or installed package is called "${use}"`;
    return { kind: "missing", message };
  }
  try {
    const module: unknown = await inTime(import(pathToFileURL(file).href));
    const plugin = (module as { default?: unknown }).default;
    const checked = checkManifest(plugin);
    if (checked.ok) return { kind: "plugin", plugin: checked.plugin, folder: resolve(file, "..") };
    return { kind: "broken", reason: `plugin ${use}: ${checked.problems.join("; ")}` };
  } catch (error) {
    const reason = withoutFolders(messageOf(error), [resolve(file, ".."), baseFolder, PROJECT]);
    return { kind: "broken", reason: `plugin ${use} could not be loaded: ${reason}` };
  }
}

/** Clients read the reason in GET /backends, so it names files without where they lie. */
function withoutFolders(text: string, folders: readonly string[]): string {
  // Deno's message has lines and colours.
  const line = stripVTControlCharacters(text).replace(/\s+/g, " ");
  return folders.reduce(
    (told, folder) =>
      told.replaceAll(`${pathToFileURL(folder).href}/`, "").replaceAll(`${folder}${sep}`, ""),
    line,
  );
}

function locate(use: string, baseFolder: string): string | undefined {
  if (/^[a-z][a-z0-9-]*$/.test(use)) {
    const builtIn = join(BUILT_IN, use, "plugin.ts");
    if (existsSync(builtIn)) return builtIn;
  }
  if (use.startsWith(".") || isAbsolute(use)) {
    const path = resolve(baseFolder, use);
    return [join(path, "plugin.ts"), path].find((file) => existsSync(file));
  }
  for (const from of [baseFolder, import.meta.dirname]) {
    try {
      return createRequire(join(from, "resolve-from-here.js")).resolve(use);
    } catch {
      // Not installed there.
    }
  }
  return undefined;
}

/** A module that waits for ever at its top level must not keep the gateway from starting. */
function inTime<T>(loading: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timeout = new Error(`it did not finish loading within ${LOAD_TIMEOUT_MS} ms`);
    const timer = setTimeout(reject, LOAD_TIMEOUT_MS, timeout);
    loading.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
