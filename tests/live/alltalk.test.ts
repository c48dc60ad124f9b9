/**
 * The same checks against the fake AllTalk and, where one is given, against a real one, so that the
 * fake cannot drift from it. The engine Piper needs no GPU; see plugins/alltalk/README.md.
 *
 *     SWITCHYARD_LIVE_ALLTALK=http://127.0.0.1:7851 bun test tests/live/alltalk
 */
import { afterAll, describe, expect, test } from "bun:test";
import { createTestContext, createTestJob } from "switchyard/sdk/testing";
import alltalk from "../../plugins/alltalk/plugin.ts";
import { startFakeAllTalk } from "../fakes/alltalk.ts";

const liveUrl = process.env.SWITCHYARD_LIVE_ALLTALK;
const fake = await startFakeAllTalk({ engine: "piper" });
afterAll(() => fake.stop());

const TARGETS = [
  { title: "the fake AllTalk", url: fake.url, skip: false },
  {
    title: `a real AllTalk${liveUrl === undefined ? " (needs SWITCHYARD_LIVE_ALLTALK)" : ""}`,
    url: liveUrl ?? "http://127.0.0.1:9",
    skip: liveUrl === undefined,
  },
];
const LIMIT_MS = 300_000;
const speech = alltalk.capabilities["speech.synthesize"];
const SENTENCES = Array.from({ length: 12 }, (_, index) => `Sentence ${index} says a little.`);
const soon = () => AbortSignal.timeout(30_000);

describe.each(TARGETS)("$title", ({ url, skip }) => {
  const ctx = createTestContext(alltalk, url, { max_characters: 120 });
  const live = (name: string, body: () => Promise<void>) => test.skipIf(skip)(name, body, LIMIT_MS);
  const note = (text: string) => url === liveUrl && console.info(`  ${text}`);
  const jobOf = (text: string, more: object = {}) => createTestJob({ text, speed: 1, ...more });
  const failure = async (text: string, more: object = {}) =>
    Promise.resolve(speech.run(jobOf(text, more), ctx)).then(() => Object({}), Object);
  /** A call past the plugin, to compare what the server itself answers. */
  const raw = async (fields: Record<string, string>) => {
    const body = new FormData();
    for (const [name, value] of Object.entries(fields)) body.set(name, value);
    return fetch(`${url}/api/tts-generate`, { method: "POST", body });
  };

  live("is ready, and says what it is", async () => {
    const health = await alltalk.health(ctx, soon());
    note(`health: ${JSON.stringify(health)}`);
    expect(health).toMatchObject({ status: "ready" });
  });

  live("lists its voices and its options", async () => {
    const voices = await alltalk.routes?.voices.handle({}, ctx, soon());
    note(`voices: ${JSON.stringify(voices)}`);
    expect(Array.isArray(voices)).toBe(true);
    expect(await speech.options?.(ctx, soon())).toHaveProperty("text_filtering");
  });

  live("speaks a sentence", async () => {
    const job = jobOf("Hello. The train stands on track four.");
    const output = await speech.run(job, ctx);
    note(`output: ${JSON.stringify(output)}`);
    expect(job.artifacts[0]).toMatchObject({ name: "speech.wav", mediaType: "audio/wav" });
    expect(Object(output).duration_seconds).toBeGreaterThan(0);
  });

  live("speaks a long text as one file", async () => {
    const job = jobOf(SENTENCES.join(" "));
    const output = Object(await speech.run(job, ctx));
    note(`output: ${JSON.stringify(output)}`);
    expect(output.parts).toBeGreaterThan(2);
    expect(job.artifacts).toHaveLength(1);
  });

  live("keeps two jobs apart", async () => {
    const [one, other] = [jobOf("One, two."), jobOf("Three.", {})];
    await Promise.all([speech.run(one, ctx), speech.run(other, ctx)]);
    expect(one.artifacts).toHaveLength(1);
    expect(other.artifacts).toHaveLength(1);
  });

  live("has no voice that is not listed", async () => {
    expect(await failure("Hello.", { voice: "no such voice" })).toMatchObject({
      code: "BACKEND_REJECTED",
    });
  });

  live("takes no JSON, no unknown language and no text beyond its limit", async () => {
    const json = { "content-type": "application/json" };
    const body = JSON.stringify({ text_input: "Hello." });
    const call = await fetch(`${url}/api/tts-generate`, { method: "POST", headers: json, body });
    expect(call.status).toBe(422);
    expect((await call.json()).detail[0].loc).toEqual(["body", "text_input"]);
    const language = await raw({ text_input: "Hello.", autoplay: "false", language: "xx" });
    expect(language.status).toBe(400);
    expect((await language.json()).error).toContain("language: language needs to be");
    const long = await raw({ text_input: "a".repeat(2_001), autoplay: "false" });
    expect(long.status).toBe(400);
  });

  live("says that a file is not there", async () => {
    const answer = await fetch(`${url}/audio/no-such-file.wav`);
    expect(answer.status).toBe(404);
    expect(await answer.json()).toEqual({ detail: "File not found" });
  });
});
