/** The job bus over a real store, with backends and admission that a test steers. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "../../../core/clock.ts";
import { createBus, type JobEvent } from "../../../core/events/mod.ts";
import { createIds } from "../../../core/ids.ts";
import type { BackendPort } from "../../../core/jobs/mod.ts";
import { createJobs, type Jobs, type JobsOptions, type Work } from "../../../core/jobs/mod.ts";
import { silentLog } from "../../../core/log.ts";
import type { Job } from "../../../core/sdk/job.ts";
import { type Database, openDatabase } from "../../../core/storage/mod.ts";
import { createFakeAdmission, type FakeAdmission } from "./fake-admission.ts";

export interface WorldOptions {
  readonly run?: (job: Job) => unknown;
  readonly folder?: string;
  readonly clock?: Clock;
  readonly concurrency?: number;
  readonly backend?: Partial<BackendPort>;
  readonly restart?: "resume" | "rerun";
  readonly admission?: (fake: FakeAdmission) => JobsOptions["admission"];
  readonly files?: JobsOptions["files"];
  /** What a job that waits again may choose from; its own backend unless said. */
  readonly choicesOf?: JobsOptions["choicesOf"];
  readonly settings?: Partial<JobsOptions["settings"]>;
  readonly random?: () => number;
}

export interface World {
  readonly jobs: Jobs;
  readonly database: Database;
  readonly folder: string;
  readonly events: JobEvent[];
  readonly admission: FakeAdmission;
  /** What `run` does from now on. */
  run: (job: Job) => unknown;
  submit(work?: Partial<Work>): Promise<string>;
  ended(id: string, limitMs?: number): Promise<ReturnType<Jobs["get"]>>;
  terminalEvents(id: string): readonly JobEvent[];
  /** Closes the store and nothing else, as a killed process does. */
  kill(): void;
  remove(): void;
}

/** In memory where there is such a folder: a race needs no disk. */
export function fastFolder(): string {
  const base = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
  return mkdtempSync(join(base, "switchyard-jobs-"));
}

const WORK: Work = {
  keyId: "key",
  activeLimit: 0,
  capability: "test.work",
  choices: [{ backend: "work" }],
  input: {},
  priority: 5,
};

export function openWorld(options: WorldOptions = {}): World {
  const { clock = systemClock, folder = fastFolder() } = options;
  const onFsyncFailure = (error: unknown) => {
    throw error;
  };
  const database = openDatabase({ folder, ballastMiB: 0, clock, onFsyncFailure });
  const bus = createBus(silentLog);
  const events: JobEvent[] = [];
  bus.on("job.event", (event) => events.push(event));
  const admission = createFakeAdmission(options.concurrency ?? 1000);
  const capability = {
    route: "POST /test",
    input: {},
    example: {},
    restart: options.restart ?? "rerun",
    run: (job: Job) => world.run(job),
  } as never;
  const backend: BackendPort = {
    title: "Work",
    capability: () => capability,
    context: () => ({}) as never,
    attemptTimeoutMs: 60_000,
    stallTimeoutMs: 60_000,
    queueTimeoutMs: 60_000,
    run: (work) => work(),
    busy: async () => false,
    ...options.backend,
  };
  const jobs = createJobs({
    database,
    clock,
    bus,
    ids: createIds(),
    log: silentLog,
    random: options.random ?? (() => 0),
    admission: options.admission?.(admission) ?? admission,
    files: options.files,
    choicesOf: options.choicesOf ?? (({ backend: name }) => [{ backend: name }]),
    artifacts: {
      put: async ({ options: { name }, fence }) => {
        const stored = await database.write(() => fence());
        if (!stored) throw new Error("fenced off");
        return { name } as never;
      },
      removeOfJob: async () => {},
      wire: (artifact) => ({ name: artifact.name }),
    },
    backends: { get: (name) => (name.startsWith("work") ? backend : undefined), failed() {} },
    settings: {
      maxPending: 10_000,
      logPrompts: false,
      cancelGraceMs: 1_000,
      drainTimeoutMs: 1_000,
      retentionMs: 3_600_000,
      ...options.settings,
    },
  });
  let open = true;
  const world: World = {
    jobs,
    database,
    folder,
    events,
    admission,
    run: options.run ?? (() => ({})),
    submit: async (work) => (await jobs.submit({ ...WORK, ...work })).row.id,
    async ended(id, limitMs = 5_000) {
      return jobs.ended(id, limitMs);
    },
    terminalEvents: (id) =>
      events.filter((event) => event.jobId === id && /completed|failed|cancelled/.test(event.type)),
    kill() {
      if (open) database.close();
      open = false;
    },
    remove() {
      world.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return world;
}
