/** The DiffRhythm plugin and the two REST servers: conformance, and what is ugly about each. */
import { describe, expect, onTestFinished, test } from "bun:test";
import type { BackendError } from "switchyard/sdk";
import {
  createTestContext,
  createTestJob,
  testPlugin,
  until,
  within,
} from "switchyard/sdk/testing";
import plugin from "../../plugins/diffrhythm/plugin.ts";
import { type FakeDiffRhythmOptions, startFakeDiffRhythm } from "../fakes/diffrhythm.ts";
import { wavBytes } from "../fakes/yue/sound.ts";

const LIMIT_MS = 20_000;
const NOTHING_STOPS = "nothing stops the server's work; it is waited for";
const NO_REASON = "the server tells no errors";
const capability = plugin.capabilities["music.generate"];

testPlugin(plugin, { fake: () => startFakeDiffRhythm(), without: { hang: NOTHING_STOPS } });
testPlugin(plugin, {
  fake: () => startFakeDiffRhythm({ kind: "webapi" }),
  config: { variant: "webapi" },
  without: { hang: NOTHING_STOPS, oom: NO_REASON },
});

async function begin(options: FakeDiffRhythmOptions, settings: Record<string, unknown> = {}) {
  const fake = await startFakeDiffRhythm(options);
  onTestFinished(() => fake.stop());
  return { fake, ctx: createTestContext(plugin, fake.url, settings) };
}

type Given = Awaited<ReturnType<typeof begin>>;

function start({ ctx }: Given, input: Record<string, unknown>, files: Record<string, File> = {}) {
  const job = createTestJob({ prompt: "folk", duration_seconds: 95, ...input }, { files });
  const outcome = Promise.resolve(capability.run(job, ctx)).catch((error: BackendError) => error);
  return { job, outcome: within(outcome, LIMIT_MS, "the run must settle") };
}

const code = (outcome: unknown) => (outcome as { code?: string }).code;
const said = (outcome: unknown) => String((outcome as Error).message);
const ID = "7a1de9d2-b45d-4bd6-8a39-6f8a3f5cbb10";
const recorded = (type: string) => ({
  [ID]: new File([wavBytes(), "hang"], "../../../etc/cron.d/evil.wav", { type }),
});

describe.each(["api", "webapi"] as const)("%s", (kind) => {
  test("is found out by what answers, and named in health", async () => {
    const { ctx } = await begin({ kind });
    const health = await plugin.health(ctx, AbortSignal.timeout(LIMIT_MS));
    expect(health).toMatchObject({ status: "ready" });
    expect(JSON.stringify(health)).toContain(kind);
  });

  test("gets lyrics with times, the style in words, and always decoding in pieces", async () => {
    const given = await begin({ kind });
    const { outcome, job } = start(given, {
      prompt: "a song about trains",
      style: 'folk $(reboot) `id` "quoted" {{x}} ../../etc',
      lyrics: "[verse]\nThe last train\n\n[chorus]\nleaves the yard",
      duration_seconds: 120,
    });
    expect(await outcome).toMatchObject({ files: ["/artifacts/artifact-1"] });
    const [sent = {}] = given.fake.submissions;
    const lrc = sent["lyrics.text"] ?? sent.lrc ?? "";
    expect(lrc.split(/\r?\n/)).toEqual([
      "[00:09.60]The last train",
      "[01:19.86]leaves the yard",
      "[01:59.99]end",
    ]);
    expect(sent).toMatchObject({
      ref_prompt: 'folk $(reboot) `id` "quoted" {{x}} ../../etc',
      audio_length: "120",
      chunked: "true",
      batch_infer_num: "1",
    });
    expect(sent).not.toHaveProperty("ref_audio");
    expect(sent).not.toHaveProperty("output_dir");
    expect(job.artifacts[0]?.name).toBe("song.wav");
  });

  test("gets a recording in place of words, under a name that is ours", async () => {
    const given = await begin({ kind });
    const { outcome } = start(given, { init_audio: { artifact_id: ID } }, recorded("audio/flac"));
    await until(() => given.fake.submissions.length > 0, LIMIT_MS, "it must arrive");
    const [sent = {}] = given.fake.submissions;
    expect(sent.ref_audio).toBe("reference.flac");
    expect(sent).not.toHaveProperty("ref_prompt");
    given.fake.release();
    expect(await outcome).toHaveProperty("files");
  });

  test("gets no recording that it could not read", async () => {
    const given = await begin({ kind });
    const { outcome } = start(given, { init_audio: { artifact_id: ID } }, recorded("audio/ogg"));
    expect(code(await outcome)).toBe("BACKEND_REJECTED");
    expect(given.fake.submissions).toHaveLength(0);
  });

  test("a cancel settles only when the work that nothing stops has ended", async () => {
    const given = await begin({ kind });
    const { job, outcome } = start(given, { prompt: "hang" });
    await until(() => given.fake.working === 1 && job.steps.size > 0, LIMIT_MS, "it must work");
    let isSettled = false;
    void outcome.then(() => {
      isSettled = true;
    });
    await job.cancel();
    const asked = given.fake.calls.length;
    await until(() => given.fake.calls.length > asked + 2, LIMIT_MS, "it must ask how it is");
    expect(isSettled).toBe(false);
    given.fake.release();
    expect(said(await outcome)).toContain("cancelled");
    expect(given.fake.working).toBe(0);
  });

  test("after a restart of the gateway the work is asked for by its id", async () => {
    const given = await begin({ kind, stepMs: 60 });
    const first = start(given, {});
    await until(() => first.job.steps.size > 0, LIMIT_MS, "it must be submitted");
    const steps = new Map(first.job.steps);
    const job = createTestJob({ prompt: "folk", duration_seconds: 95 }, { attempt: 2, steps });
    expect(await capability.run(job, given.ctx)).toHaveProperty("files");
    await first.outcome;
    expect(given.fake.submissions).toHaveLength(1);
  });
});

describe("api", () => {
  test("a status file that is being rewritten does not end the work", async () => {
    const given = await begin({ kind: "api" });
    const { outcome } = start(given, {});
    expect(await outcome).toHaveProperty("files");
    const asked = given.fake.calls.filter((call) => call.startsWith("GET /api/status/"));
    expect(asked.length).toBeGreaterThan(1);
  });

  test("a cancel does not delete, which would hide the work and not stop it", async () => {
    const given = await begin({ kind: "api" });
    const { job, outcome } = start(given, { prompt: "hang" });
    await until(() => given.fake.working === 1 && job.steps.size > 0, LIMIT_MS, "it must work");
    await job.cancel();
    given.fake.release();
    await outcome;
    expect(given.fake.calls.some((call) => call.startsWith("DELETE"))).toBe(false);
    expect(await start(given, {}).outcome).toHaveProperty("files");
    expect(given.fake.mostAtOnce).toBe(1);
  });

  test("the reason of a failure comes through", async () => {
    const given = await begin({ kind: "api" });
    const outcome = await start(given, { prompt: "fail" }).outcome;
    expect(code(outcome)).toBe("BACKEND_FAILED");
    expect(said(outcome)).toContain("the frames do not fit");
  });
});

describe("webapi", () => {
  test("idle without the file is a failure", async () => {
    const given = await begin({ kind: "webapi" });
    const outcome = await start(given, { prompt: "fail" }).outcome;
    expect(code(outcome)).toBe("BACKEND_FAILED");
  });

  test("a song of which half is written is not taken", async () => {
    const given = await begin({ kind: "webapi" });
    const { job, outcome } = start(given, {});
    await outcome;
    expect(job.artifacts[0]?.sizeBytes).toBe(wavBytes().length);
  });

  test("another client's work keeps it busy", async () => {
    const given = await begin({ kind: "webapi" });
    const form = new FormData();
    form.set("ref_prompt", "hang");
    await fetch(`${given.fake.url}/generate`, { method: "POST", body: form });
    const outcome = await start(given, {}).outcome;
    expect(code(outcome)).toBe("BACKEND_BUSY");
    const health = await plugin.health(given.ctx, AbortSignal.timeout(LIMIT_MS));
    expect(health).toMatchObject({ status: "ready", busy: true });
  });

  test("a restart of the server in the middle of the work is noticed", async () => {
    const given = await begin({ kind: "webapi" });
    const { job, outcome } = start(given, { prompt: "hang" });
    await until(() => given.fake.working === 1 && job.steps.size > 0, LIMIT_MS, "it must work");
    given.fake.restart();
    expect(code(await outcome)).toBe("BACKEND_FAILED");
  });
});

test("What is no server of DiffRhythm is a mismatch that says what was looked for", async () => {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => Response.json({ status: "idle" }),
  });
  onTestFinished(() => server.stop(true));
  const ctx = createTestContext(plugin, `http://127.0.0.1:${server.port}`);
  const health = await Promise.resolve(plugin.health(ctx, AbortSignal.timeout(LIMIT_MS))).catch(
    (error: unknown) => error,
  );
  expect(code(health)).toBe("BACKEND_MISMATCH");
  for (const variant of ["space", "web", "api", "webapi"]) expect(said(health)).toContain(variant);
});
