import { describe, expect, test } from "bun:test";
import { contextOf, failure, jobOf, run, startFake, until } from "./comfyui-cases.ts";

const SERVERS = [
  ["of today", {}],
  ["before /api/jobs/{id}/cancel", { noCancelApi: true }],
  ["before /api/jobs", { noJobsApi: true, noCancelApi: true }],
] as const;

describe.each(SERVERS)("on a server %s", (_, options) => {
  test("a job gives its picture", async () => {
    const fake = await startFake(options);
    const job = jobOf({});
    await run(job, contextOf(fake.url));
    expect(job.artifacts).toHaveLength(1);
  });

  test("a failure is told", async () => {
    const fake = await startFake(options);
    const error = await failure(run(jobOf({ prompt: "fail" }), contextOf(fake.url)));
    expect(error.message).toBe("ComfyUI failed in KSampler: boom on purpose (ValueError)");
  });

  test("a job picked up after a restart of the gateway is neither sent nor run again", async () => {
    const fake = await startFake(options);
    const context = contextOf(fake.url);
    const first = jobOf({});
    await run(first, context);
    const second = jobOf({}, { id: first.id, attempt: 2, steps: first.steps });
    await run(second, context);
    expect(second.artifacts[0]?.sha256).toBe(first.artifacts[0]!.sha256);
    expect([...fake.submissions]).toEqual([[first.id, 1]]);
    expect([...fake.executions]).toEqual([[first.id, 1]]);
  });

  test("a job is adopted when the gateway died before it noted the answer", async () => {
    const fake = await startFake({ ...options, stepMs: 20 });
    const context = contextOf(fake.url);
    const first = jobOf({ prompt: "a cat steps=40" });
    const lost = run(first, context);
    await until(() => fake.executions.has(first.id), "the prompt runs");
    const second = jobOf(first.input, { id: first.id, attempt: 2 });
    await run(second, context);
    await lost;
    expect(second.artifacts).toHaveLength(1);
    expect([...fake.executions.values()]).toEqual([1]);
    expect([...fake.submissions.values()]).toEqual([1]);
  });

  test("a job that failed is run again by its next attempt, under the same id", async () => {
    const fake = await startFake({ ...options, stepMs: 10 });
    const context = contextOf(fake.url);
    const first = jobOf({ prompt: "fail" });
    await failure(run(first, context));
    const second = jobOf({ prompt: "a cat steps=20" }, { id: first.id, attempt: 2 });
    await run(second, context);
    expect(second.artifacts).toHaveLength(1);
    expect(fake.executions.get(first.id)).toBe(2);
  });

  test("a restart of ComfyUI loses the job, and that is said at once", async () => {
    const fake = await startFake(options);
    const job = jobOf({ prompt: "hang" });
    const end = failure(run(job, contextOf(fake.url)));
    await until(() => fake.executions.has(job.id), "the prompt runs");
    fake.restart();
    expect(await end).toMatchObject({
      code: "BACKEND_LOST",
      message: expect.stringContaining("no longer knows the job"),
    });
  });
});

describe("when the answer to a submission is lost", () => {
  test("the prompt is looked up, not sent again", async () => {
    const fake = await startFake();
    const job = jobOf({});
    fake.cutNextAnswer();
    await run(job, contextOf(fake.url));
    expect(job.artifacts).toHaveLength(1);
    expect(fake.submissions.get(job.id)).toBe(1);
    expect(fake.executions.get(job.id)).toBe(1);
  });

  test("the prompt is sent again when ComfyUI does not know it", async () => {
    const fake = await startFake();
    const job = jobOf({});
    fake.loseNextPrompt();
    await run(job, contextOf(fake.url));
    expect(job.artifacts).toHaveLength(1);
    expect(fake.executions.get(job.id)).toBe(1);
  });

  test("a server that is gone is reported as unreachable", async () => {
    const fake = await startFake();
    await fake.stop();
    const error = await failure(run(jobOf({}), contextOf(fake.url)));
    expect(error.code).toBe("BACKEND_UNREACHABLE");
  });
});

describe("a WebSocket that breaks", () => {
  test("in the middle of a job comes back, and the progress goes on", async () => {
    const fake = await startFake({ stepMs: 40 });
    const job = jobOf({ prompt: "a cat steps=60" });
    const end = run(job, contextOf(fake.url));
    await until(() => job.previews.length > 3, "previews");
    fake.dropSockets();
    const before = job.previews.length;
    await until(() => job.previews.length > before + 5, "previews after the break");
    await end;
    expect(job.artifacts).toHaveLength(1);
    expect(fake.submissions.get(job.id)).toBe(1);
  });

  test("with the gateway still shows progress to the job's next attempt", async () => {
    const fake = await startFake({ stepMs: 10 });
    const context = contextOf(fake.url);
    const first = jobOf({ prompt: "a cat steps=100" });
    const lost = run(first, context);
    await until(() => first.steps.has("submit"), "the submission is noted");
    fake.dropSockets();
    await until(() => fake.sockets === 0, "the old gateway's socket is gone");
    const options = { id: first.id, attempt: 2, steps: new Map(first.steps) };
    const second = jobOf(first.input, options);
    await run(second, context);
    await lost;
    expect(second.previews.length).toBeGreaterThan(10);
    expect(fake.executions.get(first.id)).toBe(1);
  });
});
