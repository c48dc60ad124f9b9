/** The table of routes that a gateway with this configuration mounts, read in this process. */
import { rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { systemClock } from "../../core/clock.ts";
import type { Route } from "../../core/http/mod.ts";
import { startKernel } from "../../core/kernel.ts";
import { temporaryFolder } from "../gateway.ts";

export const PUPPET = resolve(import.meta.dir, "..", "fixtures", "plugins", "puppet", "plugin.ts");

/** Every kind of route: work of four plugins, their own routes, keys, jobs, artifacts, pages. */
export const EVERYTHING = `
log: { level: warn }
auth: { failures_per_minute: 0, limits: { requests_per_minute: 0 } }
backends:
  espeak: { use: espeak }
  puppet: { use: ${PUPPET} }
  comfyui: { use: comfyui, url: "http://127.0.0.1:1" }
  ollama: { use: ollama, url: "http://127.0.0.1:1" }
`;

export async function routeTable(config = EVERYTHING): Promise<readonly Route[]> {
  const folder = temporaryFolder();
  const configPath = join(folder, "gateway.yaml");
  writeFileSync(configPath, config.replace("level: warn", "level: error"));
  const kernel = await startKernel({
    configPath,
    env: { SWITCHYARD_DATA: join(folder, "data"), SWITCHYARD_PORT: "0" },
    clock: systemClock,
    die(reason) {
      throw new Error(reason);
    },
  });
  await kernel.stop();
  rmSync(folder, { recursive: true, force: true });
  return kernel.routes;
}

/** The path with `values` in place of its parameters. */
export function filledPath(path: string, values: Readonly<Record<string, string>>): string {
  return path.replace(/:(\w+)/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`no value for the parameter ${name} of ${path}`);
    return value;
  });
}

/** A backend that has no process and no model in memory, and a lease that nobody has. */
export const NOWHERE = {
  name: "espeak",
  model: "none",
  lease_id: "0199f3a2-7c1e-7d4b-9a53-000000000001",
};

export const UNKNOWN_JOB = "0199f3a2-7c1e-7d4b-9a53-000000000000";
