/**
 * The job bus alone, in a process of its own: store, group commit, queue, admission and runner as
 * `core/kernel.ts` puts them together, without HTTP. `add <seconds> <parallel>` prints how many jobs
 * were accepted per second; `pickup <count> <spacing ms>` how long each took to start;
 * `fill <count>` leaves that many pending jobs.
 */
import { systemClock } from "../../core/clock.ts";
import { createBus } from "../../core/events/mod.ts";
import { createIds } from "../../core/ids.ts";
import { createJobs, type Jobs, type Work } from "../../core/jobs/mod.ts";
import { createLog } from "../../core/log.ts";
import { openDatabase } from "../../core/storage/mod.ts";
import { createLaneAdmission } from "../../core/vram/mod.ts";
import { measureAdds, measurePickup } from "./measure.ts";
import { WORK_INPUT } from "./request.ts";

const [mode, folder = "", first = "1", second = "1"] = process.argv.slice(2);
const started = new Map<string, (atMs: number) => void>();
const jobs = openJobs(mode === "pickup");

switch (mode) {
  case "add": {
    const result = await measureAdds(
      () => jobs.submit(work("noop")),
      Number(first),
      Number(second),
    );
    const { pending } = jobs.counts();
    if (pending !== result.total) throw new Error(`${pending} pending after ${result.total} adds`);
    print(result);
    break;
  }
  case "pickup":
    print(
      await measurePickup(Number(first), Number(second), async (tag, onStart) => {
        started.set(tag, onStart);
        await jobs.submit({ ...work("noop"), tag });
      }),
    );
    break;
  case "fill": {
    const count = Number(first);
    await Promise.all(Array.from({ length: count }, () => jobs.submit(work("noop"))));
    print({ total: count });
    break;
  }
}
// Not drained: the pending jobs are what was asked for.
process.exit(0);

function openJobs(runs: boolean): Jobs {
  const log = createLog({ level: "warn" });
  const database = openDatabase({
    folder,
    ballastMiB: 0,
    clock: systemClock,
    onFsyncFailure(error) {
      throw error;
    },
  });
  const admission = createLaneAdmission({
    devices: { gpu0: {} },
    backend: () => ({ device: "gpu0", concurrency: 1, available: runs }),
  });
  const cost = { model: "noop", residentMiB: 1, workingMiB: 0 };
  const capability = {
    run(job: { id: string }) {
      const atMs = performance.now();
      started.get(jobs.get(job.id)?.tag ?? "")?.(atMs);
    },
  };
  const backend = {
    title: "No-op",
    capability: () => capability,
    context: () => ({}),
    demand: () => cost,
    attemptTimeoutMs: 60_000,
    stallTimeoutMs: 60_000,
    queueTimeoutMs: 60_000,
    run: <T>(inner: () => T) => inner(),
    busy: async () => false,
  };
  return createJobs({
    database,
    clock: systemClock,
    ids: createIds(),
    bus: createBus(log),
    log,
    random: Math.random,
    admission,
    artifacts: {
      put: () => Promise.reject(new Error("no artifacts here")),
      removeOfJob: async () => {},
      wire: () => ({}),
    },
    backends: { get: () => backend as never, failed() {} },
    settings: {
      maxPending: 10_000_000,
      logPrompts: false,
      cancelGraceMs: 1_000,
      drainTimeoutMs: 1_000,
      retentionMs: 3_600_000,
    },
  });
}

function work(backend: string): Work {
  return {
    keyId: "bench",
    activeLimit: 0,
    capability: "image.generate",
    backend,
    input: WORK_INPUT,
    demand: { model: "noop", residentMiB: 1, workingMiB: 0 },
    priority: 5,
  };
}

function print(result: unknown): void {
  console.log(`RESULT ${JSON.stringify(result)}`);
}
