/** Loads a configuration from a text, through a real file in a temporary folder. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Environment, type LoadedConfig, loadConfig } from "../../../core/config/mod.ts";

export function load(text: string, env: Environment = {}): LoadedConfig {
  return inFolder((folder) => {
    const path = join(folder, "gateway.yaml");
    writeFileSync(path, text);
    return loadConfig({ path, env });
  });
}

export function inFolder<Result>(work: (folder: string) => Result): Result {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-config-"));
  try {
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** "12 backends.comfyui.devise: message", or without the number. */
export function told(loaded: Pick<LoadedConfig, "problems">): string[] {
  return loaded.problems.map(({ line, key, message }) => `${line ?? "-"} ${key}: ${message}`);
}
