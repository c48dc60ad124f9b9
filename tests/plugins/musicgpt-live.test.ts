/**
 * The same checks against the stand-in and, where one is given, against a real MusicGPT, so that the
 * stand-in cannot drift from it. `tests/live/musicgpt-tiny-model.py` makes a model of a few kilobytes
 * with which the real server runs without downloading anything.
 *
 *     SWITCHYARD_LIVE_MUSICGPT=http://127.0.0.1:8642 bun test musicgpt-live
 */
import { afterAll, describe, expect, test } from "bun:test";
import type { BackendError } from "switchyard/sdk";
import { createTestContext, createTestJob, until, within } from "switchyard/sdk/testing";
import plugin from "../../plugins/musicgpt/plugin.ts";
import { startFakeMusicGPT } from "../fakes/musicgpt.ts";

const liveUrl = process.env.SWITCHYARD_LIVE_MUSICGPT;
const fake = await startFakeMusicGPT({ tokenMs: 3 });
afterAll(() => fake.stop());

const TARGETS = [
  { title: "the fake MusicGPT", url: fake.url, skip: false },
  {
    title: `a real MusicGPT${liveUrl === undefined ? " (needs SWITCHYARD_LIVE_MUSICGPT)" : ""}`,
    url: liveUrl ?? "http://127.0.0.1:9",
    skip: liveUrl === undefined,
  },
];
const LIMIT_MS = 120_000;

describe.each(TARGETS)("$title", ({ url, skip }) => {
  const ctx = createTestContext(plugin, url);
  const capability = plugin.capabilities["music.generate"];
  const live = (name: string, body: () => Promise<void>) => test.skipIf(skip)(name, body, LIMIT_MS);
  const note = (text: string) => url === liveUrl && console.info(`  ${text}`);
  const soon = () => AbortSignal.timeout(LIMIT_MS);

  /** Ids that no run before had: the server keeps its files. */
  function start(
    seconds: number,
    options: Parameters<typeof createTestJob>[1] = {},
    context = ctx,
    prompt = "calm slow jazz piano",
  ) {
    const id = options.id ?? crypto.randomUUID();
    const job = createTestJob({ prompt, duration_seconds: seconds }, { ...options, id });
    const run = Promise.resolve(capability.run(job, context));
    const outcome = within(
      run.catch((error: BackendError) => error),
      LIMIT_MS,
      "the run must settle",
    );
    return { job, outcome };
  }

  /** What the server itself says of its chats, on a socket of the test's own. */
  async function chats(): Promise<readonly unknown[]> {
    const socket = await ctx.http.socket("/ws", { signal: soon() });
    for await (const message of socket) {
      const { Chats } = JSON.parse(String(message));
      if (Chats === undefined) continue;
      await socket.close();
      return Chats;
    }
    throw new Error("the server told no chats");
  }

  live("answers health, and names its one model", async () => {
    expect((await plugin.health(ctx, soon())).status).not.toBe("down");
    const models = await plugin.models?.(ctx, soon());
    expect(models).toHaveLength(1);
    note(`MusicGPT says: ${JSON.stringify(models)}`);
  });

  live("makes a WAV, tells its progress, and keeps no chat", async () => {
    const before = (await chats()).length;
    const { job, outcome } = start(2);
    const startedMs = performance.now();
    expect(await outcome).toMatchObject({ files: ["/artifacts/artifact-1"] });
    note(`2 seconds of audio took ${Math.round(performance.now() - startedMs)} ms`);
    const [artifact] = job.artifacts;
    const head = new TextDecoder().decode(artifact?.bytes.slice(0, 12));
    expect(head).toMatch(/^RIFF....WAVE$/s);
    const fractions = job.progressed.map(({ fraction }) => fraction ?? 0);
    expect(fractions.length).toBeGreaterThan(90);
    expect(job.progressed.at(-1)).toEqual({ fraction: 0.97 * 0.95, note: "decoding" });
    expect(await chats()).toHaveLength(before);
  });

  live("is stopped by a cancel, and serves the next request", async () => {
    const { job, outcome } = start(30);
    await until(() => job.progressed.length > 3, LIMIT_MS, "it must work");
    const cancelledMs = performance.now();
    await job.cancel();
    expect(String(await outcome)).toContain("cancelled");
    note(`the cancel took ${Math.round(performance.now() - cancelledMs)} ms`);
    const next = start(1);
    expect(await next.outcome).toHaveProperty("files");
    expect(next.job.progressed.length).toBeGreaterThan(40);
  });

  live("loses no request that follows a cancel at once", async () => {
    for (let round = 0; round < 3; round += 1) {
      const { job, outcome } = start(10);
      await until(() => job.progressed.length > 0, LIMIT_MS, "it must work");
      void job.cancel();
      await outcome;
      expect(await start(1).outcome).toHaveProperty("files");
    }
  });

  live("gives the same work back after a restart of the gateway", async () => {
    const deaf = { ...ctx, http: { ...ctx.http, fetch: () => new Promise<never>(() => {}) } };
    const first = start(1, {}, deaf);
    await until(() => first.job.steps.has("generation"), LIMIT_MS, "the server must finish");
    const ids = new Map([["ids", first.job.steps.get("ids")]]);
    const again = start(1, { id: first.job.id, attempt: 2, steps: ids });
    expect(await again.outcome).toHaveProperty("files");
    expect(again.job.progressed).toEqual([]);
    first.outcome.catch(() => {});
  });

  live("is joined in the middle of the work after a restart of the gateway", async () => {
    const deaf = { ...ctx, http: { ...ctx.http, fetch: () => new Promise<never>(() => {}) } };
    const first = start(6, {}, deaf);
    await until(() => first.job.progressed.length > 20, LIMIT_MS, "it must work");
    const ids = new Map([["ids", first.job.steps.get("ids")]]);
    const again = start(6, { id: first.job.id, attempt: 2, steps: ids });
    expect(await again.outcome).toHaveProperty("files");
    const { fraction = 0 } = again.job.progressed[0] ?? {};
    expect(fraction).toBeGreaterThan(0.02);
    first.outcome.catch(() => {});
  });

  live("takes a prompt of any characters", async () => {
    const prompt = '$(reboot) `id` "quote" \n ../../etc/passwd \u0000 {{x}} é';
    expect(await start(1, {}, ctx, prompt).outcome).toHaveProperty("files");
  });
});
