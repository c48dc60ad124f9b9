/**
 * The same checks against the fake and, where one is given, against a real server, so that the fake
 * cannot drift from it. Any small model will do; `tests/live/tiny-gguf.py` makes one.
 *
 *     SWITCHYARD_LIVE_OLLAMA=http://127.0.0.1:11434 SWITCHYARD_LIVE_OLLAMA_MODEL=tiny \
 *       bun test ollama-live
 */
import { afterAll, describe, expect, test } from "bun:test";
import plugin from "../../plugins/ollama/plugin.ts";
import { startFakeOllama } from "../fakes/ollama.ts";
import {
  contextFor,
  embedError,
  errorOf,
  soon,
  startText,
  textError,
  textOf,
  until,
  vectorsOf,
} from "./ollama-harness.ts";

interface Target {
  readonly title: string;
  readonly url: string;
  readonly model: string;
  readonly skip: boolean;
}

const liveUrl = process.env.SWITCHYARD_LIVE_OLLAMA;
const fake = await startFakeOllama({ loadMs: 100 });
afterAll(() => fake.stop());

const TARGETS: readonly Target[] = [
  { title: "the fake Ollama", url: fake.url, model: "llama3.2", skip: false },
  {
    title: `a real Ollama${liveUrl === undefined ? " (needs SWITCHYARD_LIVE_OLLAMA)" : ""}`,
    url: liveUrl ?? "http://127.0.0.1:9",
    model: process.env.SWITCHYARD_LIVE_OLLAMA_MODEL ?? "tiny",
    skip: liveUrl === undefined,
  },
];
const LIMIT_MS = 120_000;

describe.each(TARGETS)("$title", ({ url, model, skip }) => {
  const settings = { model, embed_model: model, default_num_ctx: 256 };
  const ctx = contextFor(url, settings);
  const live = (name: string, body: () => Promise<void>) => test.skipIf(skip)(name, body, LIMIT_MS);
  // Figures of a real server are worth seeing; those of the fake are not.
  const note = (text: string) => url === liveUrl && console.info(`  ${text}`);

  live("answers health with its version", async () => {
    const health = await plugin.health(ctx, soon());
    expect(["ready", "degraded"]).toContain(health.status);
    note(`Ollama says: ${JSON.stringify(health)}`);
  });

  live("lists the model, with and without its tag", async () => {
    const names = (await plugin.models?.(ctx, soon()))?.map(({ name }) => name);
    expect(names).toContain(model);
  });

  live("streams tokens that add up to the text", async () => {
    const { job, answer } = await textOf(ctx, { prompt: "Hello", max_tokens: 24, seed: 1 });
    expect(job.emitted.length).toBeGreaterThan(0);
    expect(answer.text).toBe(job.emitted.join(""));
    expect(["stop", "length"]).toContain(answer.finish_reason);
    expect(answer.usage.prompt_tokens).toBeGreaterThan(0);
    expect(answer.usage.completion_tokens).toBeGreaterThan(0);
    expect(answer.metrics.total_ms).toBeGreaterThan(0);
  });

  live("keeps the model loaded from one request to the next", async () => {
    const first = await textOf(ctx, { prompt: "Hello", max_tokens: 2 });
    const other = { temperature: 0.1, seed: 5, options: { top_k: 5, repeat_penalty: 1.2 } };
    const second = await textOf(ctx, { prompt: "Hi", max_tokens: 4, ...other });
    const third = await textOf(ctx, { messages: [{ role: "user", content: "Hi" }], max_tokens: 2 });
    const fourth = await vectorsOf(ctx, { texts: ["a"] });
    const fifth = await textOf(ctx, { prompt: "Hello", max_tokens: 2 });
    expect(fourth.answer.dimensions).toBeGreaterThan(0);
    const loads = [first, second, third, fifth].map(({ answer }) => answer.metrics.load_ms);
    const changed = contextFor(url, { ...settings, default_num_ctx: 128 });
    const reload = (await textOf(changed, { prompt: "Hello", max_tokens: 2 })).answer.metrics
      .load_ms;
    note(`load_ms: ${loads.join(", ")}; with another num_ctx ${reload}`);
    // A load takes a process start at least; finding the model loaded takes a few milliseconds.
    for (const kept of loads.slice(1)) expect(kept).toBeLessThan(reload / 4);
  });

  live("follows a JSON format", async () => {
    const asked = { prompt: "Answer in JSON.", format: "json" as const, max_tokens: 64, seed: 3 };
    const { answer } = await textOf(ctx, asked);
    expect(answer.text.trimStart()).toStartWith("{");
    if (answer.finish_reason === "stop") expect(() => JSON.parse(answer.text)).not.toThrow();
    const refused = await textError(ctx, { prompt: "x", format: { type: "bogus" } });
    expect(refused.code).toBe("BACKEND_REJECTED");
  });

  live("gives unit vectors, the same for the same text", async () => {
    const { answer } = await vectorsOf(ctx, { texts: ["a train", "a track", "a train"] });
    const [first = [], second = [], third = []] = answer.embeddings;
    expect(answer.embeddings).toHaveLength(3);
    expect(Math.hypot(...first)).toBeCloseTo(1, 3);
    const cosine = first.reduce((sum, value, index) => sum + value * (third[index] ?? 0), 0);
    expect(cosine).toBeCloseTo(1, 3);
    expect(second).not.toEqual(first);
  });

  live("refuses a text that is too long for an embedding, and names it", async () => {
    const error = await embedError(ctx, { texts: ["short", "train ".repeat(2_000)] });
    expect(error.code).toBe("BACKEND_REJECTED");
    expect(error.message).toContain("texts[1]");
  });

  live("tells how to get a model that is not there", async () => {
    const absent = { model: "no-such-model" };
    const errors = [
      await textError(ctx, { ...absent, prompt: "x" }),
      await textError(ctx, { ...absent, messages: [{ role: "user", content: "x" }] }),
      await embedError(ctx, { ...absent, texts: ["x"] }),
    ];
    for (const error of errors) {
      expect(error.code).toBe("BACKEND_REJECTED");
      expect(error.message).toContain("ollama pull no-such-model");
    }
  });

  live("stops when the connection closes, and serves the next request", async () => {
    const { job, outcome } = startText(ctx, { prompt: "Hello steps=5000", max_tokens: 20_000 });
    await until(() => job.emitted.length > 3);
    await job.cancel();
    expect(errorOf(await outcome).message).toContain("cancelled");
    const started = performance.now();
    await textOf(ctx, { prompt: "Hello", max_tokens: 2 });
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  live("loads the model before the first request, which then finds it as it needs it", async () => {
    await plugin.free?.(ctx, model, soon());
    const startedMs = performance.now();
    await plugin.load?.(ctx, model, AbortSignal.timeout(LIMIT_MS));
    const loadMs = performance.now() - startedMs;
    const held = (await plugin.residents?.(ctx, soon())) ?? [];
    expect(held.map((resident) => resident.model)).toContain(
      model.includes(":") ? model : `${model}:latest`,
    );
    const { answer } = await textOf(ctx, { prompt: "Hello", max_tokens: 2 });
    await plugin.load?.(ctx, model, soon());
    const again = await textOf(ctx, { prompt: "Hello", max_tokens: 2 });
    const found = [answer, again.answer].map(({ metrics }) => metrics.load_ms);
    note(`load: ${Math.round(loadMs)} ms; the requests after it: ${found.join(", ")} ms`);
    for (const ms of found) expect(ms).toBeLessThan(loadMs / 4);
  });

  live("shows the model as resident, and frees it", async () => {
    await textOf(ctx, { prompt: "Hello", max_tokens: 2 });
    const resident = async () =>
      ((await plugin.residents?.(ctx, soon())) ?? []).filter(({ model: name }) =>
        name.startsWith(model),
      );
    expect(await resident()).toHaveLength(1);
    note(`resident: ${JSON.stringify(await resident())}`);
    await plugin.free?.(ctx, model, soon());
    expect(await resident()).toHaveLength(0);
    await plugin.free?.(ctx, "no-such-model", soon());
  });

  live("refuses a foreign host name with an empty 403, which health explains", async () => {
    const foreign = contextFor(url, settings, { host: "gpu-box.example" });
    const error = errorOf(await plugin.health(foreign, soon()).catch((thrown: unknown) => thrown));
    expect(error.code).toBe("BACKEND_MISMATCH");
  });
});
