/**
 * One trial of `calibrate`: a capability's own example on one backend, once without its model in
 * memory and then a few times with it. What is measured meanwhile, the gateway learns by itself.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../clock.ts";
import type { BackendRow, CostRow, Estimate, RunningGateway } from "./calibrate-gateway.ts";
import { CommandError } from "./environment.ts";

export interface TrialOptions {
  readonly gateway: RunningGateway;
  readonly backend: string;
  readonly work: BackendRow["work"][number];
  /** Runs with the model in memory. */
  readonly runs: number;
  /** Longest wait for one job, its queue included. */
  readonly limitMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** One line of progress. */
  readonly say: (line: string) => void;
}

export type Trial =
  | { readonly kind: "no_memory" }
  /** It was not run; the reason says why. */
  | { readonly kind: "skipped"; readonly reason: string }
  | {
      readonly kind: "measured";
      readonly model: string;
      readonly device: string | null;
      /** What the gateway reckoned with until now. */
      readonly before: NonNullable<Estimate["cost"]>;
      /** Undefined when nothing at all was learned. */
      readonly cost: CostRow | undefined;
      readonly notes: readonly string[];
    };

const POLL_MS = 250;
/** How long the probe may take to see a model that stands there. */
const SETTLE_MS = 10_000;
/** As core/vram/learning.ts has it: the load of a first run can be told from so many others. */
const RUNS_TO_TELL_LOADS = 3;

/** Throws when a job fails or the gateway cannot be asked. */
export async function runTrial(options: TrialOptions): Promise<Trial> {
  const { gateway, backend, work, runs, say } = options;
  const { cost: before, device, reason } = await gateway.estimate(pathOf(work), bodyOf(options));
  if (!before) return { kind: "skipped", reason: reason ?? "it fits on no device" };
  if (!before.resident_mib && !before.working_mib) return { kind: "no_memory" };
  const earlier = await gateway.costs();

  const notes = await makeRoom(options);
  const model = await runJob("cold run", options);
  for (let run = 1; run <= runs; run++) await runJob(`warm run ${run} of ${runs}`, options);

  const find = async () => learned(await gateway.costs(), earlier, backend, model);
  let cost = await find();
  if (!cost?.samples.resident && (await isMeasured(options, device))) {
    say("waits for the probe to see the model");
    const untilMs = options.clock.monotonicMs() + SETTLE_MS;
    while (!cost?.samples.resident && options.clock.monotonicMs() < untilMs) {
      await delay(POLL_MS, undefined, { signal: options.signal });
      cost = await find();
    }
  }
  if (!hasNewLoad(cost, earlier) && runs < RUNS_TO_TELL_LOADS) {
    notes.push(`its load time needs ${RUNS_TO_TELL_LOADS} warm runs: give --runs 3`);
  }
  return { kind: "measured", model, device, before, cost, notes: [...new Set(notes)] };
}

/** The example with another seed each time: some servers answer a repeated request from a cache. */
function bodyOf({ work: { example }, backend, clock }: TrialOptions): Record<string, unknown> {
  const seed =
    typeof example.seed === "number" ? { seed: Math.trunc(clock.nowMs()) % 2 ** 31 } : {};
  return { ...example, ...seed, backend, tag: "calibrate" };
}

async function isMeasured({ gateway }: TrialOptions, device: string | null): Promise<boolean> {
  const found = (await gateway.devices()).find(({ name }) => name === device);
  return found?.probe.state === "reading" && found.processes !== null;
}

/** What could not be made to leave. */
async function makeRoom({ gateway, backend, say }: TrialOptions): Promise<string[]> {
  const { freed, kept } = await gateway.free(backend);
  const left = freed.filter((it) => it.freed).flatMap(({ models }) => models);
  if (left.length > 0) say(`unloaded ${left.join(", ")}`);
  const stayed = freed.filter((it) => !it.freed).flatMap(({ models }) => models);
  return [
    ...stayed.map((model) => `${model} did not leave when told to, so the cold run was warm`),
    ...kept.map(({ model, reason }) => `${model} stayed: ${reason}`),
  ];
}

/** The model that the job computed with. */
async function runJob(name: string, options: TrialOptions): Promise<string> {
  const { gateway, work, clock, signal, limitMs, say } = options;
  const id = await gateway.submit(pathOf(work), bodyOf(options));
  const beganMs = clock.monotonicMs();
  let said = "";
  try {
    for (;;) {
      const { status, phase, queue, error, model } = await gateway.job(id);
      if (status === "completed") {
        say(`${name}: done in ${((clock.monotonicMs() - beganMs) / 1_000).toFixed(1)} s`);
        return model ?? "";
      }
      if (status === "failed" || status === "cancelled") {
        const why = error ? `${error.message} (${error.code})` : "no reason was given";
        throw new CommandError(`${name} ${status}: ${why}`);
      }
      const reason = queue?.wait_reason ?? "starting";
      const now = phase === "queued" && reason !== "starting" ? `waits (${reason})` : phase;
      if (now !== said && now !== null && now !== "queued") say(`${name}: ${now}`);
      said = now ?? said;
      if (clock.monotonicMs() - beganMs > limitMs) {
        throw new CommandError(`${name} did not end within ${limitMs / 1_000} s; see --timeout`);
      }
      await delay(POLL_MS, undefined, { signal });
    }
  } catch (error) {
    // Nobody waits for it any more, and the GPU has better things to do.
    await gateway.cancel(id).catch(() => undefined);
    throw error;
  }
}

/** The row that the runs went into: that of the size which gained most. */
function learned(
  rows: readonly CostRow[],
  earlier: readonly CostRow[],
  backend: string,
  model: string,
): CostRow | undefined {
  const gain = (row: CostRow) => row.samples.run - (same(row, earlier)?.samples.run ?? 0);
  return rows
    .filter((row) => row.backend === backend && row.model === model)
    .toSorted((a, b) => gain(b) - gain(a) || b.updated_at.localeCompare(a.updated_at))[0];
}

function same(row: CostRow, rows: readonly CostRow[]): CostRow | undefined {
  const { backend, model, bucket } = row;
  return rows.find((it) => it.backend === backend && it.model === model && it.bucket === bucket);
}

/** Of any size: loads belong to the model. */
function hasNewLoad(cost: CostRow | undefined, earlier: readonly CostRow[]): boolean {
  if (!cost) return false;
  const { backend, model, samples } = cost;
  const before = earlier.find((row) => row.backend === backend && row.model === model);
  return samples.load > (before?.samples.load ?? 0);
}

/** "POST /generate/image" -> "/generate/image" */
function pathOf({ route }: TrialOptions["work"]): string {
  return route.slice(route.indexOf("/"));
}
