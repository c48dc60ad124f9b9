/** Where the engine's package is, without loading it. */
import { readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";

export const ENGINE_PACKAGE = "@echogarden/espeak-ng-emscripten";

/** The version of the package that `from` would import; undefined when a part of it is missing. */
export function installedVersion(from: string | URL = import.meta.url): string | undefined {
  try {
    const { resolve } = createRequire(from);
    if (statSync(resolve(`${ENGINE_PACKAGE}/espeak-ng.data`)).size === 0) return undefined;
    const manifest: unknown = JSON.parse(
      readFileSync(resolve(`${ENGINE_PACKAGE}/package.json`), "utf8"),
    );
    const version = typeof manifest === "object" && manifest !== null && "version" in manifest;
    return version ? String(manifest.version) : undefined;
  } catch {
    return undefined;
  }
}
