/** Plays a trace on a yard as clients would: each job is sent when its time has come, and watched. */
import type { Job } from "../scheduler/format.ts";
import type { BenchGateway } from "../tools/gateway.ts";
import type { Course } from "./course.ts";
import type { Yard } from "./yard.ts";

export interface Played extends Course {
  /** What a load took beyond what the server declares, in milliseconds. */
  readonly loadOverheadsMs: readonly number[];
  /** What it took until the memory of an eviction was seen to be back. */
  readonly evictionsMs: readonly number[];
  /** The most that was ever in use on the device, in MiB. */
  readonly peakMiB: number;
  /** Jobs that did not complete, and why. */
  readonly failures: readonly string[];
}

export async function play(
  { gateway, peakMiB }: Yard,
  trace: readonly Job[],
  loadMsOf: (service: string) => number,
): Promise<Played> {
  const flows = new Map<string, number>();
  const failures: string[] = [];
  const startMs = performance.now();
  await Promise.all(
    trace.map(async (job) => {
      await until(startMs + job.at_ms);
      const end = await follow(gateway, job);
      flows.set(job.id, performance.now() - startMs - job.at_ms);
      if (end !== "job.completed") failures.push(`job ${job.id} of ${job.service}: ${end}`);
    }),
  );
  return { flows, failures, peakMiB: peakMiB(), ...fromLog(gateway.output(), loadMsOf) };
}

/** The type of its last event. */
async function follow({ url, key, post }: BenchGateway, { id, service, run_ms }: Job) {
  const body = { backend: service, prompt: `job ${id}`, ms: run_ms };
  const { status, data } = await post("/generate/image", body);
  if (status !== 202) return `HTTP ${status}`;
  const path = `${url}/jobs/${data.job_id}/events`;
  const events = await fetch(path, { headers: { "x-api-key": key } });
  const types = [...(await events.text()).matchAll(/^event: (\S+)$/gm)];
  return types.at(-1)?.[1] ?? "no event";
}

async function until(timeMs: number): Promise<void> {
  const waitMs = timeMs - performance.now();
  if (waitMs > 0) await Bun.sleep(waitMs);
}

interface LogLine {
  readonly msg?: string;
  readonly backend?: string;
  readonly ms?: number;
  readonly attempts?: readonly { readonly durationMs: number }[];
}

function fromLog(output: string, loadMsOf: (service: string) => number) {
  const loadOverheadsMs: number[] = [];
  const evictionsMs: number[] = [];
  for (const line of output.split("\n")) {
    const { msg, backend = "", ms = 0, attempts = [] } = parsed(line);
    if (msg === "a model was loaded") loadOverheadsMs.push(ms - loadMsOf(backend));
    if (msg !== "models left a device") continue;
    evictionsMs.push(attempts.reduce((sum, { durationMs }) => sum + durationMs, 0));
  }
  const [loads, evictions] = [loadOverheadsMs.length, evictionsMs.length];
  return { loads, evictions, loadOverheadsMs, evictionsMs };
}

function parsed(line: string): LogLine {
  if (!line.startsWith("{")) return {};
  try {
    return JSON.parse(line);
  } catch {
    return {};
  }
}
