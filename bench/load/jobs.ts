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
import {
  createCostBook,
  createCostStore,
  createVram,
  loadPolicy,
  openProbes,
  schedulingPort,
} from "../../core/vram/mod.ts";
import { measureAdds, measurePickup } from "./measure.ts";
import { WORK_INPUT } from "./request.ts";

const DEMAND = { model: "noop", residentMiB: 1, workingMiB: 0 };
const [mode, folder = "", first = "1", second = "1"] = process.argv.slice(2);
const started = new Map<string, (atMs: number) => void>();
const jobs = await openJobs(mode === "pickup");

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

async function openJobs(runs: boolean): Promise<Jobs> {
  const log = createLog({ level: "warn" });
  const database = openDatabase({
    folder,
    ballastMiB: 0,
    clock: systemClock,
    onFsyncFailure(error) {
      throw error;
    },
  });
  const clock = systemClock;
  const bus = createBus(log);
  const ids = createIds(clock.nowMs);
  const vram = createVram({
    policy: await loadPolicy("fair"),
    settings: {
      heavyMs: 10_000,
      overdueAfterMs: 60_000,
      overdueRuns: 2,
      overdueShare: 0.25,
      fairnessMs: 120_000,
    },
    devices: { gpu0: { memoryMiB: 24_576, headroomMiB: 0, heavy: 1 } },
    backends: [
      {
        name: "noop",
        title: "No-op",
        device: "gpu0",
        concurrency: 1,
        usable: () => runs,
        busy: () => undefined,
        frees: "model",
        pids: async () => [],
      },
    ],
    probes: await openProbes({
      devices: { gpu0: { probe: "none", memoryMiB: 24_576, intervalMs: 1_000 } },
      clock,
      log,
      env: {},
    }),
    costs: createCostBook({
      store: createCostStore(database),
      overrides: () => undefined,
      defaults: { loadMs: () => 1_000, runMs: 1_000 },
      clock,
      log,
    }),
    clock,
    ids,
    log,
    bus,
  });
  await vram.start();
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
    attemptTimeoutMs: 60_000,
    stallTimeoutMs: 60_000,
    queueTimeoutMs: 60_000,
    run: <T>(inner: () => T) => inner(),
    busy: async () => false,
  };
  return createJobs({
    database,
    clock,
    ids,
    bus,
    log,
    random: Math.random,
    admission: schedulingPort(vram),
    choicesOf: ({ backend }) => [{ backend, demand: DEMAND }],
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
    choices: [{ backend, demand: DEMAND }],
    input: WORK_INPUT,
    priority: 5,
  };
}

function print(result: unknown): void {
  console.log(`RESULT ${JSON.stringify(result)}`);
}
