/**
 * The same checks against the fake WanGP and, where one is given, against a real server, so that the
 * fake cannot drift from it. What is made depends on the installation: the model is the first of
 * SWITCHYARD_LIVE_WAN2GP_MODEL, of which the shortest video is asked for.
 *
 *     SWITCHYARD_LIVE_WAN2GP=http://127.0.0.1:7860 SWITCHYARD_LIVE_WAN2GP_MODEL=t2v_1.3B \
 *       bun test tests/live/wan2gp
 */
import { afterAll, describe, expect, test } from "bun:test";
import { createTestContext, createTestJob, type TestJob, until } from "switchyard/sdk/testing";
import wan2gp from "../../plugins/wan2gp/plugin.ts";
import { startFakeWan2gp } from "../fakes/wan2gp.ts";

const liveUrl = process.env.SWITCHYARD_LIVE_WAN2GP;
const fake = await startFakeWan2gp();
afterAll(() => fake.stop());

const TARGETS = [
  { title: "the fake WanGP", url: fake.url, skip: false },
  {
    title: `a real WanGP${liveUrl === undefined ? " (needs SWITCHYARD_LIVE_WAN2GP)" : ""}`,
    url: liveUrl ?? "http://127.0.0.1:9",
    skip: liveUrl === undefined,
  },
];
const LIMIT_MS = 1_800_000;
const model = process.env.SWITCHYARD_LIVE_WAN2GP_MODEL ?? "t2v_1.3B";
const video = wan2gp.capabilities["video.generate"];
const SHORT = { width: 320, height: 192, duration_seconds: 0.5, steps: 4, seed: 7 };
const soon = () => AbortSignal.timeout(60_000);

describe.each(TARGETS)("$title", ({ url, skip }) => {
  const ctx = createTestContext(wan2gp, url, { model, poll_interval_ms: 100 });
  const live = (name: string, body: () => Promise<void>) => test.skipIf(skip)(name, body, LIMIT_MS);
  const note = (text: string) => url === liveUrl && console.info(`  ${text}`);
  const jobOf = (prompt: string, more: object = {}, files: Record<string, File> = {}) => {
    const job: TestJob<any> = createTestJob({ prompt, ...SHORT, ...more }, { files });
    return job;
  };

  live("is ready", async () => {
    expect(await wan2gp.health(ctx, soon())).toMatchObject({ status: "ready" });
  });

  live("lists its models, and the options of one", async () => {
    const models = (await wan2gp.models?.(ctx, soon())) ?? [];
    note(`${models.length} models, among them ${JSON.stringify(models[0])}`);
    expect(models.map(({ name }) => name)).toContain(model);
    const options = (await video.options?.(ctx, soon())) ?? {};
    note(`options: ${Object.keys(options).join(", ")}`);
    expect(options).toHaveProperty("flow_shift");
  });

  live("makes a video of a text with several paragraphs", async () => {
    const job = jobOf("A red train.\n\nIt crosses a bridge.");
    const output = await video.run(job, ctx);
    note(`output: ${JSON.stringify(output)}; ${job.progressed.length} times progress`);
    expect(job.artifacts).toHaveLength(1);
    expect(job.artifacts[0]?.mediaType).toMatch(/^video\//);
    expect(output).toMatchObject({ model, seed: 7 });
  });

  live("takes no second job while it works, and stops when it is told to", async () => {
    const first = jobOf("a train, hang", { duration_seconds: 5, steps: 50 });
    const running = Promise.resolve(video.run(first, ctx)).catch(String);
    await until(() => first.progressed.length > 0, 600_000, "no progress");
    const second = await Promise.resolve(video.run(jobOf("another"), ctx)).catch(Object);
    expect(second).toMatchObject({ code: "BACKEND_BUSY" });
    await first.cancel();
    expect(await running).toContain("cancelled");
    await video.run(jobOf("a third"), ctx);
  });

  live("refuses a model that it does not have", async () => {
    const error = await Promise.resolve(video.run(jobOf("x", { model: "nope" }), ctx)).catch(
      Object,
    );
    expect(error).toMatchObject({ code: "BACKEND_REJECTED" });
  });

  live("has forgotten a job that it never had", async () => {
    const steps = new Map([["submit", { id: "0".repeat(32), downloads: false }]]);
    const job: TestJob<any> = createTestJob({ prompt: "x" }, { steps });
    const error = await Promise.resolve(video.run(job, ctx)).catch(Object);
    expect(error).toMatchObject({ code: "BACKEND_LOST" });
  });

  live("gives an address of a file once", async () => {
    const answer = await fetch(`${url}/wangp_api/gallery/download/${"0".repeat(32)}`);
    expect(answer.status).toBe(404);
    expect(await answer.json()).toEqual({ error: "Download expired or not found." });
  });
});
