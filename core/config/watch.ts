/**
 * Notices that the configuration file changed. The folder is watched, not the file: editors and
 * deployment tools replace the file, and a watch of the old one would never fire again.
 */
import { readFileSync, watch } from "node:fs";
import { dirname } from "node:path";
import type { Environment } from "./expand.ts";
import { type LoadedConfig, loadConfig } from "./load.ts";

/** One save causes several events; the file is read when they are over. */
const SETTLE_MS = 150;

export interface ConfigWatch {
  close(): void;
}

/** Calls back with the file read and checked anew, once for each change of its text. */
export function watchConfig(
  path: string,
  onChange: (loaded: LoadedConfig) => void,
  env: Environment = process.env,
): ConfigWatch {
  let known = textOf(path);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = (): void => {
    timer = undefined;
    const text = textOf(path);
    if (text === known) return;
    known = text;
    onChange(loadConfig({ path, env }));
  };
  const watcher = watch(dirname(path), { persistent: false }, () => {
    timer ??= setTimeout(look, SETTLE_MS);
  });
  // A folder that disappears is the same as a file that does: the next start will say so.
  watcher.on("error", () => watcher.close());
  return {
    close() {
      clearTimeout(timer);
      watcher.close();
    },
  };
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
