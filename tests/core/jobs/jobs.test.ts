/** The job bus: crashes, throttled reports, retries, plugins that do what they may not. */
import { afterEach, describe, expect, test } from "bun:test";
import { GatewayError } from "../../../core/errors.ts";
import { BackendError } from "../../../core/sdk/errors.ts";
import type { Job } from "../../../core/sdk/job.ts";
import { fastFolder, openWorld, type World, type WorldOptions } from "./world.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const forEver = () => new Promise<never>(() => {});

async function until(condition: () => unknown, limitMs = 3_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms`);
    await turn();
  }
}

const worlds: World[] = [];
function open(options: WorldOptions = {}): World {
  const world = openWorld(options);
  worlds.push(world);
  return world;
}
afterEach(() => {
  for (const world of worlds.splice(0)) world.remove();
});

describe("a process that dies", () => {
  test("three times while it runs a job makes that job POISON_JOB, and only that one", async () => {
    const folder = fastFolder();
    const first = open({ folder, run: forEver });
    const poison = await first.submit();
    await until(() => first.jobs.get(poison)?.status === "running");
    for (let death = 1; death <= 3; death++) {
      worlds.at(-1)?.kill();
      const next = open({ folder, run: (job) => (job.id === poison ? forEver() : {}) });
      await next.jobs.recover();
      if (death < 3) await until(() => next.jobs.get(poison)?.status === "running");
      const other = await next.submit();
      expect((await next.ended(other))?.status).toBe("completed");
    }
    const world = worlds.at(-1) as World;
    expect(world.jobs.get(poison)).toMatchObject({
      status: "failed",
      error: { code: "POISON_JOB" },
      attempts: 3,
    });
    expect(world.terminalEvents(poison)).toHaveLength(1);
  });

  test("leaves steps to a plugin that resumes and none to one that runs again", async () => {
    for (const restart of ["resume", "rerun"] as const) {
      const folder = fastFolder();
      const submissions: number[] = [];
      const run = async (job: Job) => {
        await job.step("submit", async () => submissions.push(job.attempt));
        return job.attempt === 1 ? forEver() : { attempt: job.attempt };
      };
      const first = open({ folder, run, restart });
      const id = await first.submit();
      await until(() => submissions.length === 1);
      await first.database.write(() => {});
      first.kill();
      const second = open({ folder, run, restart });
      await second.jobs.recover();
      expect(await second.ended(id)).toMatchObject({ status: "completed", output: { attempt: 2 } });
      expect(submissions).toEqual(restart === "resume" ? [1] : [1, 2]);
    }
  });

  test("a stop in order is no crash, and keeps what runs for the next process", async () => {
    const folder = fastFolder();
    const first = open({ folder, run: forEver, settings: { drainTimeoutMs: 10 } });
    const id = await first.submit();
    await until(() => first.jobs.get(id)?.status === "running");
    const wait = first.jobs.ended(id, 60_000);
    await first.jobs.drain();
    expect(first.jobs.get(id)).toMatchObject({ status: "running", crashes: 0 });
    expect((await wait)?.status).toBe("running");
    const refused = await first.submit().catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "SHUTTING_DOWN", retryAfterMs: expect.any(Number) });
  });

  test("a plugin that cannot cost an old job fails that job and not the start", async () => {
    const folder = fastFolder();
    const first = open({ folder, run: forEver });
    const running = await first.submit();
    await until(() => first.jobs.get(running)?.status === "running");
    first.kill();
    const choicesOf = () => {
      throw new Error("vram failed");
    };
    const second = open({ folder, choicesOf });
    await second.jobs.recover();
    expect(await second.ended(running)).toMatchObject({
      status: "failed",
      error: { code: "INTERNAL", message: expect.stringContaining("vram failed") },
    });
  });
});

describe("times of a wall clock that jumps", () => {
  const jumping = () => {
    const clock = {
      offsetMs: 0,
      nowMs: () => Date.now() + clock.offsetMs,
      monotonicMs: () => performance.now(),
    };
    return clock;
  };
  const DAY_MS = 86_400_000;

  test("expire no waiting job early", async () => {
    const clock = jumping();
    let grant = () => {};
    const world = open({
      clock,
      admission: (fake) => ({
        ...fake,
        acquire: async (request, signal) => {
          await new Promise<void>((resolve) => {
            grant = resolve;
          });
          return fake.acquire(request, signal);
        },
      }),
    });
    const id = await world.submit({ startByMs: clock.nowMs() + 60_000 });
    clock.offsetMs = DAY_MS;
    const end = performance.now() + 400;
    while (performance.now() < end) await turn();
    expect(world.jobs.get(id)?.status).toBe("pending");
    grant();
    expect((await world.ended(id))?.status).toBe("completed");
  });

  test("set back during a restart, do not hold up a retry for a day", async () => {
    const folder = fastFolder();
    const clock = jumping();
    const fail = () => {
      throw new BackendError("BACKEND_UNREACHABLE", "down");
    };
    const first = open({ folder, clock, run: fail, random: () => 0.3 });
    const id = await first.submit();
    await until(() => first.events.some(({ type }) => type === "job.requeued"));
    first.kill();
    clock.offsetMs = -DAY_MS;
    const second = open({ folder, clock });
    await second.jobs.recover();
    expect((await second.ended(id))?.status).toBe("completed");
  });
});

describe("what a plugin reports", () => {
  test("becomes at most one progress event per 500 ms, and the newest is never lost", async () => {
    let now = 0;
    const clock = { nowMs: () => Date.now(), monotonicMs: () => now };
    const world = open({
      clock,
      run(job) {
        for (now = 0; now < 10_000; now += 10) job.progress(now / 10_000);
        return {};
      },
    });
    const id = await world.submit();
    await world.ended(id);
    const progress = world.events.filter(({ type }) => type === "job.progress");
    expect(progress.length).toBeGreaterThanOrEqual(20);
    expect(progress.length).toBeLessThanOrEqual(22);
    expect(progress.at(-1)?.data.value).toBe(0.999);
    const values = progress.map(({ data }) => Number(data.value));
    expect(values).toEqual([...values].sort((a, b) => a - b));
  });

  test("as text is joined and nothing of it is lost", async () => {
    const world = open({
      run(job) {
        for (let index = 0; index < 1_000; index++) job.emit(`${index} `);
        return {};
      },
    });
    const id = await world.submit();
    await world.ended(id);
    const deltas = world.events.filter(({ type }) => type === "job.delta");
    expect(deltas.length).toBeLessThan(60);
    const text = deltas.map(({ data }) => data.text).join("");
    expect(text).toBe(Array.from({ length: 1_000 }, (_, index) => `${index} `).join(""));
  });

  test("comes too late after a cancel: no event, no step, no artifact", async () => {
    let late: Job | undefined;
    const world = open({
      run(job) {
        late = job;
        return forEver();
      },
      settings: { cancelGraceMs: 10 },
    });
    const id = await world.submit();
    await until(() => late);
    const job = late as unknown as Job;
    const [, stored] = await Promise.all([
      world.jobs.cancel(id, "test"),
      job.artifact(new Uint8Array(1), { name: "late" }).catch((error: Error) => error.message),
    ]);
    expect(stored).toBe("fenced off");
    const before = world.jobs.get(id)?.seq;
    job.progress(0.5);
    job.emit("late");
    const step = await job.step("late", async () => 1).catch((error: unknown) => error);
    expect(step).toBeInstanceOf(GatewayError);
    expect(world.jobs.get(id)?.seq).toBe(before as number);
  });
});

describe("attempts", () => {
  test("that fail for the server's sake are repeated, and then the job completes", async () => {
    let calls = 0;
    const world = open({
      run() {
        if (++calls < 3) throw new BackendError("BACKEND_FAILED", "boom");
        return { calls };
      },
    });
    const id = await world.submit();
    expect(await world.ended(id)).toMatchObject({ status: "completed", attempts: 3, epoch: 3 });
  });

  test("that was too slow cannot be mistaken for the next one, which a cancel still reaches", async () => {
    const aborted: number[] = [];
    const begun: number[] = [];
    const world = open({
      backend: { attemptTimeoutMs: 100 },
      settings: { cancelGraceMs: 5_000 },
      run: (job) =>
        new Promise((resolve) => {
          begun.push(job.attempt);
          job.signal.addEventListener("abort", () => {
            aborted.push(job.attempt);
            // The first one hears it but needs a while, beyond the start of the second.
            if (job.attempt === 1)
              void until(() => begun.length === 2)
                .then(turn)
                .then(resolve);
            else resolve({});
          });
        }),
    });
    const id = await world.submit();
    await until(() => begun.length === 2);
    for (let count = 0; count < 10; count++) await turn();
    expect(world.jobs.counts().running).toBe(1);
    await world.jobs.cancel(id, "test");
    await until(() => world.jobs.counts().running === 0);
    expect(aborted).toEqual([1, 2]);
    expect(world.jobs.get(id)?.status).toBe("cancelled");
  });

  test("that return what is no JSON end as a failure, and never stay running", async () => {
    const ring: Record<string, unknown> = {};
    ring.self = ring;
    for (const result of [ring, { big: 10n }]) {
      const world = open({ run: () => result });
      const id = await world.submit();
      expect(await world.ended(id, 1_500)).toMatchObject({
        status: "failed",
        error: { code: "INTERNAL" },
      });
    }
  });

  test("that fail with a code nobody knows, or details that are no JSON, end all the same", async () => {
    const odd = new BackendError("NO_SUCH_CODE" as never, "odd");
    const world = open({
      run(job) {
        if (job.input === "odd") throw odd;
        throw new BackendError("BACKEND_REJECTED", "no", { details: { big: 10n } });
      },
    });
    const ids = [await world.submit({ input: "odd" as never }), await world.submit()];
    const codes = ids.map(async (id) => (await world.ended(id, 1_500))?.error?.code);
    expect(await Promise.all(codes)).toEqual(["INTERNAL", "BACKEND_REJECTED"]);
  });
});

describe("limits in memory", () => {
  test("requests that arrive together do not pass the length of the queue together", async () => {
    const admission: WorldOptions["admission"] = (fake) => ({ ...fake, acquire: forEver });
    const { submit, jobs } = open({ admission, settings: { maxPending: 3 } });
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => submit()));
    const refused = outcomes.flatMap((it) => (it.status === "rejected" ? [it.reason.code] : []));
    expect(refused).toEqual(Array.from({ length: 7 }, () => "QUEUE_FULL"));
    expect(jobs.counts().pending).toBe(3);
  });

  test("a picture that comes after the job's end is not kept", async () => {
    let late = () => {};
    const { submit, ended, jobs } = open({
      run(job) {
        late = () => job.preview(new Uint8Array(8), "image/png");
        late();
      },
    });
    const id = await submit();
    await ended(id);
    late();
    expect(jobs.previews.get(id)).toBeUndefined();
  });
});
