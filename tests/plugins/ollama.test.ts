/** The Ollama plugin against a fake that behaves as badly as the real server. */
import { describe, expect, test } from "bun:test";
import plugin from "../../plugins/ollama/plugin.ts";
import {
  contextFor,
  embedError,
  errorOf,
  settingsWith,
  soon,
  start,
  startEmbedding,
  startText,
  textError,
  textOf,
  until,
  vectorsOf,
} from "./ollama-harness.ts";

describe("text.generate", () => {
  test("streams whole tokens although chunks cut lines and characters", async () => {
    const { ctx } = await start();
    const { job, answer } = await textOf(ctx, { prompt: "steps=7" });
    expect(job.emitted).toEqual(["The ", "train ", "to ", "Zürich ", "🚂 ", "waits ", "at "]);
    expect(answer.text).toBe(job.emitted.join(""));
    expect(answer.finish_reason).toBe("stop");
    expect(answer.usage).toEqual({ prompt_tokens: 2, completion_tokens: 7 });
    expect(answer.model).toBe("llama3.1:8b");
    expect(answer.metrics).toEqual({ load_ms: 5, prompt_ms: 1, generate_ms: 10, total_ms: 16 });
  });

  test("emits the first token before the last one is made", async () => {
    const { fake, ctx } = await start();
    const { job, outcome } = startText(ctx, { prompt: "hang" });
    await until(() => job.emitted.length === 1);
    expect(fake.cancelled).toBe(0);
    await job.cancel();
    expect(errorOf(await outcome).message).toContain("cancelled");
  });

  test("speaks a chat, with the system text first", async () => {
    const { fake, ctx } = await start();
    const messages = [{ role: "user" as const, content: "steps=2" }];
    const { answer } = await textOf(ctx, { messages, system: "Be brief." });
    expect(answer.text).toBe("The train ");
    expect(fake.calls).toContain("POST /api/chat");
    expect(fake.bodies[0]?.messages).toEqual([
      { role: "system", content: "Be brief." },
      ...messages,
    ]);
  });

  test("sends what was asked, and always a bound, a context and a keep-alive", async () => {
    const { fake, ctx } = await start({}, { num_ctx: { "llama3.2": 8192 } });
    const asked = { prompt: "x", system: "s", temperature: 0.5, top_p: 0.9, stop: ["."], seed: 7 };
    await textOf(ctx, { ...asked, model: "llama3.2:latest", options: { top_k: 5 } });
    const body = fake.bodies[0];
    expect(body).toMatchObject({ prompt: "x", system: "s", stream: true, keep_alive: "30m" });
    expect(body?.options).toEqual({
      temperature: 0.5,
      top_p: 0.9,
      stop: ["."],
      seed: 7,
      top_k: 5,
      num_predict: 2048,
      num_ctx: 8192,
    });
  });

  test("says length when max_tokens cut the answer", async () => {
    const { ctx } = await start();
    const { answer } = await textOf(ctx, { prompt: "steps=50", max_tokens: 4 });
    expect(answer.finish_reason).toBe("length");
    expect(answer.usage.completion_tokens).toBe(4);
  });

  test("keeps thinking apart from the text", async () => {
    const { ctx } = await start();
    const asked = { prompt: "steps=1", model: "qwen3:8b", think: true };
    const { job, answer } = await textOf(ctx, asked);
    expect(answer).toMatchObject({ text: "The ", thinking: "Signals first. " });
    expect(job.emitted).toEqual(["The "]);
    const refused = await textError(ctx, { prompt: "x", think: true });
    expect(refused.code).toBe("BACKEND_REJECTED");
    expect(refused.message).toContain("does not support thinking");
  });

  test("never makes Ollama reload a model, whatever requests ask for", async () => {
    const { fake, ctx } = await start({}, { num_ctx: { "llama3.1:8b": 2048 } });
    await textOf(ctx, { prompt: "steps=1", temperature: 0, max_tokens: 10 });
    const second = await textOf(ctx, { prompt: "steps=1", options: { top_k: 3 } });
    await textOf(ctx, { messages: [{ role: "user", content: "steps=1" }] });
    expect(fake).toMatchObject({ loads: 1, reloads: 0 });
    expect(second.answer.metrics.load_ms).toBe(2);
    // The counter counts: another context length does reload.
    await textOf(contextFor(fake.url), { prompt: "steps=1" });
    expect(fake).toMatchObject({ loads: 2, reloads: 1 });
  });

  test("waits for a model that loads slowly, and gives up after load_timeout_ms", async () => {
    const { ctx, fake } = await start();
    const { answer } = await textOf(ctx, { prompt: "slow-start" });
    expect(answer.metrics.load_ms).toBeGreaterThanOrEqual(400);
    const hasty = contextFor(fake.url, { default_num_ctx: 512 });
    const config = { ...hasty.config, load_timeout_ms: 50 };
    const late = await textError({ ...hasty, config }, { prompt: "slow-start" });
    expect(late.code).toBe("STALLED");
  });

  for (const [word, code, message] of [
    ["fail", "BACKEND_FAILED", "error was encountered while running"],
    ["runner-died", "BACKEND_LOST", "unexpected EOF"],
    ["no-done", "BACKEND_LOST", "without its end"],
    ["crash", "BACKEND_LOST", "Ollama"],
    ["oom", "OUT_OF_MEMORY", "memory with llama3.1:8b"],
    ["busy", "BACKEND_BUSY", "server busy"],
    ["null-output", "BACKEND_BAD_OUTPUT", "instead of text"],
  ] as const) {
    test(`reports ${code} when Ollama does "${word}"`, async () => {
      const { ctx } = await start();
      const error = await textError(ctx, { prompt: `${word} steps=5` });
      expect(error.code).toBe(code);
      expect(error.message).toContain(message);
    });
  }

  test("tells how to get a model that is not there, on both routes", async () => {
    const { ctx } = await start();
    const messages = [{ role: "user" as const, content: "x" }];
    for (const input of [{ prompt: "x" }, { messages }]) {
      const error = await textError(ctx, { ...input, model: "phi4" });
      expect(error.code).toBe("BACKEND_REJECTED");
      expect(error.message).toContain("ollama pull phi4");
    }
  });

  test("refuses an input longer than the context, unless it may be cut", async () => {
    const { ctx } = await start({}, { default_num_ctx: 64 });
    const prompt = "word ".repeat(100);
    const error = await textError(ctx, { prompt });
    expect(error.code).toBe("BACKEND_REJECTED");
    expect(error.message).toContain("exceeds the context of llama3.1:8b");
    expect((await textOf(ctx, { prompt, truncate: true })).answer.text).not.toBe("");
  });

  test("closes the connection when it is cancelled, and the slot is free again", async () => {
    const { fake, ctx } = await start();
    const { job, outcome } = startText(ctx, { prompt: "hang" });
    await until(() => job.emitted.length > 0);
    await job.cancel();
    expect(errorOf(await outcome).message).toContain("cancelled");
    await until(() => fake.cancelled === 1);
    expect((await textOf(ctx, { prompt: "steps=1" })).answer.text).toBe("The ");
  });

  test("can be cancelled while the model loads", async () => {
    const { fake, ctx } = await start({ loadMs: 30_000 });
    const { job, outcome } = startText(ctx, { prompt: "x" });
    await until(() => fake.loads === 1);
    await job.cancel();
    expect(errorOf(await outcome).message).toContain("cancelled");
    await until(() => fake.cancelled === 1);
  });

  test("waits its turn for a model, and says busy when the queue is full", async () => {
    const { fake, ctx } = await start({ maxQueue: 1 });
    const first = startText(ctx, { prompt: "hang" });
    await until(() => first.job.emitted.length > 0);
    const second = startText(ctx, { prompt: "steps=1" });
    await until(() => fake.bodies.length === 2);
    expect((await textError(ctx, { prompt: "steps=1" })).code).toBe("BACKEND_BUSY");
    await first.job.cancel();
    expect(await second.outcome).toMatchObject({ text: "The " });
  });

  const check = (input: object, settings = {}) =>
    plugin.capabilities["text.generate"].check?.(
      { truncate: false, ...input },
      settingsWith(settings),
    );

  test("takes either a prompt or messages", () => {
    expect(check({ prompt: "x" })).toBeUndefined();
    expect(check({ messages: [{ role: "user", content: "x" }] })).toBeUndefined();
    expect(check({})).toContain("prompt: missing");
    expect(check({ prompt: "x", messages: [{ role: "user", content: "x" }] })).toContain("both");
  });

  test("refuses options that only the operator may set, and says why", () => {
    for (const name of ["num_ctx", "num_gpu", "num_batch", "num_thread"]) {
      expect(check({ prompt: "x", options: { [name]: 1 } })).toContain("by the operator");
    }
    expect(check({ prompt: "x", options: { num_predict: 1 } })).toContain("max_tokens");
    for (const name of ["bogus", "constructor", "toString"]) {
      const problem = check({ prompt: "x", options: { [name]: 1 } });
      expect(problem).toContain(`options.${name}: unknown; known are top_k`);
    }
    expect(check({ prompt: "x", options: { top_k: 1, min_p: 0.1 } })).toBeUndefined();
  });

  test("refuses cloud models unless the operator allows them", () => {
    for (const model of ["gpt-oss:120b-cloud", "kimi-k2:cloud", "GPT-OSS:120B-Cloud"]) {
      const input = { prompt: "x", model };
      expect(check(input)).toContain("leave this machine");
      expect(check(input, { allow_cloud_models: true })).toBeUndefined();
    }
  });
});

describe("text.embed", () => {
  test("gives one vector per text, in order, over several calls", async () => {
    const { fake, ctx } = await start();
    const texts = Array.from({ length: 130 }, (_, index) => `text ${index}`);
    const { job, answer } = await vectorsOf(ctx, { texts });
    expect(answer.dimensions).toBe(1_024);
    expect(answer.embeddings).toHaveLength(130);
    const alone = await vectorsOf(ctx, { texts: ["text 129"] });
    expect(answer.embeddings[129]).toEqual(alone.answer.embeddings[0] ?? []);
    expect(new Set(answer.embeddings.map(String)).size).toBe(130);
    expect(job.progressed.map(({ fraction }) => fraction)).toEqual([64 / 130, 128 / 130, 1]);
    expect(fake.bodies[0]).toMatchObject({ truncate: false, keep_alive: "30m" });
    expect(fake.reloads).toBe(0);
  });

  test("names the text that is too long, and asks once", async () => {
    const { fake, ctx } = await start();
    const texts = Array.from({ length: 70 }, (_, index) => `text ${index}`);
    texts[66] = "word ".repeat(600);
    const error = await embedError(ctx, { texts });
    expect(error.code).toBe("BACKEND_REJECTED");
    expect(error.message).toContain("input length exceeds");
    expect(error.message).toContain("texts[66] with 3000 characters");
    expect(fake.calls.filter((call) => call === "POST /api/embed")).toHaveLength(2);
  });

  test("does not accept fewer vectors than texts", async () => {
    const { ctx } = await start();
    const error = await embedError(ctx, { texts: ["a", "null-output"] });
    expect(error.code).toBe("BACKEND_BAD_OUTPUT");
    expect(error.message).toContain("0 vectors for 2 texts");
  });

  test("closes the connection when it is cancelled", async () => {
    const { fake, ctx } = await start();
    const { job, outcome } = startEmbedding(ctx, { texts: ["hang"] });
    await until(() => fake.bodies.length === 1);
    await job.cancel();
    expect(errorOf(await outcome).message).toContain("cancelled");
    await until(() => fake.cancelled === 1);
  });

  test("runs on the CPU and costs no GPU memory when the operator says so", async () => {
    const { ctx } = await start({}, { embed_on_cpu: true });
    await vectorsOf(ctx, { texts: ["a"] });
    expect(await plugin.residents?.(ctx, soon())).toEqual([
      { model: "snowflake-arctic-embed:l", residentMiB: 0 },
    ]);
    const cost = plugin.capabilities["text.embed"].vram?.({ texts: ["a"] }, ctx.config);
    expect(cost).toMatchObject({ residentMiB: 0, workingMiB: 0 });
  });
});

describe("what a model costs", () => {
  const cost = (model: string, settings = {}) =>
    plugin.capabilities["text.generate"].vram?.(
      { prompt: "x", truncate: false, model },
      settingsWith(settings),
    );

  test("comes from the operator, else from the name and the context length", () => {
    expect(cost("llama3.1:8b", { resident_mib: { "llama3.1:8b": 6_123 } })).toMatchObject({
      model: "llama3.1:8b",
      residentMiB: 6_123,
      workingMiB: 0,
    });
    const small = cost("llama3.1:8b")?.residentMiB ?? 0;
    const long = cost("llama3.1:8b", { num_ctx: { "llama3.1:8b": 12_288 } })?.residentMiB;
    expect(long).toBe(small + 1_024);
    expect(cost("llama3.1:70b")?.residentMiB).toBeGreaterThan(40_000);
    expect(cost("llama3.1:8b-instruct-q8_0")?.residentMiB).toBeGreaterThan(9_000);
    expect(cost("phi4", { fallback_resident_mib: 7_000 })?.residentMiB).toBe(7_812);
  });

  test("knows a model by one name, with and without its tag", () => {
    const settings = { resident_mib: { "llama3.2": 3_000 } };
    expect(cost("llama3.2", settings)).toEqual(cost("llama3.2:latest", settings));
    expect(cost("llama3.2", settings)?.model).toBe("llama3.2:latest");
    expect(cost("constructor")?.residentMiB).toBeGreaterThan(0);
  });

  test("is nothing for a model that runs elsewhere", () => {
    expect(cost("gpt-oss:120b-cloud")?.residentMiB).toBe(0);
  });
});
