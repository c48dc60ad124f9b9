/** Measurements that run in a process of their own and print one `RESULT {json}` line. */
import { join } from "node:path";
import { GATEWAY_CPU } from "./gateway.ts";
import { COMPARATORS } from "./needs.ts";
import type { Stage } from "./stage.ts";

const LOAD = join(import.meta.dirname, "..", "load");

/** `load/jobs.ts` on the gateway's CPU, with a data folder of its own unless one is given. */
export function runJobs<T>(
  stage: Stage,
  mode: string,
  args: readonly (string | number)[],
  folder: string = stage.folder(),
): Promise<T> {
  const file = join(LOAD, "jobs.ts");
  return result(stage, [process.execPath, file, mode, folder, ...args.map(String)]);
}

/** `comparators/bullmq.mjs` on the gateway's CPU, on Bun. */
export function runBullmq<T>(
  stage: Stage,
  mode: string,
  args: readonly (string | number)[],
): Promise<T> {
  const file = join(COMPARATORS, "bullmq.mjs");
  return result(stage, [process.execPath, file, mode, ...args.map(String)]);
}

async function result<T>(stage: Stage, command: readonly string[]): Promise<T> {
  const printed = await stage.run(command, { cpu: GATEWAY_CPU });
  const [, json] = /RESULT (.+)/.exec(printed) ?? [];
  if (json === undefined) throw new Error(`${command.join(" ")} gave no result:\n${printed}`);
  return JSON.parse(json) as T;
}
