/** How the Ollama plugin loads and frees, and how the fake holds a simulated device's memory. */
import { describe, expect, test } from "bun:test";
import plugin from "../../plugins/ollama/plugin.ts";
import type { MemoryOptions } from "../fakes/memory.ts";
import type { FakeOllamaOptions } from "../fakes/ollama.ts";
import { simulatedDevice } from "./device.ts";
import {
  errorOf,
  settingsWith,
  soon,
  start,
  startText,
  textError,
  textOf,
  until,
  vectorsOf,
} from "./ollama-harness.ts";

const TEXT = "llama3.1:8b";
const EMBED = "snowflake-arctic-embed:l";

type Started = Awaited<ReturnType<typeof start>>;
const load = (ctx: Started["ctx"], model: string, signal = soon()) =>
  plugin.load?.(ctx, model, signal);
const failure = (work: Promise<unknown> | undefined) =>
  Promise.resolve(work).then(errorOf, (error: unknown) => errorOf(error));

/** A fake on a device of its own; `memory` may be changed while it runs. */
async function onDevice(
  options: FakeOllamaOptions & { totalMiB?: number } = {},
  settings: Record<string, unknown> = {},
) {
  const { totalMiB, ...rest } = options;
  const device = simulatedDevice(totalMiB);
  const memory: MemoryOptions = { folder: device.folder };
  return { device, memory, ...(await start({ ...rest, memory }, settings)) };
}

describe("load", () => {
  test("brings a model in, and the requests that follow find it as they need it", async () => {
    const { fake, ctx } = await start({}, { num_ctx: { [TEXT]: 8_192 } });
    await load(ctx, TEXT);
    expect(await plugin.residents?.(ctx, soon())).toMatchObject([{ model: TEXT }]);
    await textOf(ctx, { prompt: "steps=1" });
    await textOf(ctx, { messages: [{ role: "user", content: "steps=1" }], max_tokens: 5 });
    await vectorsOf(ctx, { model: TEXT, texts: ["a"] });
    expect({ loads: fake.loads, reloads: fake.reloads }).toEqual({ loads: 1, reloads: 0 });
    expect(fake.bodies[0]).toMatchObject({ keep_alive: "30m", options: { num_ctx: 8_192 } });
  });

  test("brings in a model that only embeds", async () => {
    const { fake, ctx } = await start();
    await load(ctx, EMBED);
    await vectorsOf(ctx, { texts: ["a"] });
    expect(fake.loads).toBe(1);
    expect(fake.calls).toContain("POST /api/embed");
  });

  test("keeps a model until its first request where the operator keeps none", async () => {
    for (const keep_alive of [0, "0s", "-0h0m"]) {
      const { fake, ctx } = await start({ lingerMs: 0 }, { keep_alive });
      await load(ctx, TEXT);
      expect(await plugin.residents?.(ctx, soon())).toHaveLength(1);
      await textOf(ctx, { prompt: "steps=1" });
      expect(fake.loads).toBe(1);
      await until(async () => (await plugin.residents?.(ctx, soon()))?.length === 0);
    }
  });

  test("asks nothing for a model that ollama.com computes", async () => {
    const { fake, ctx } = await start({}, { allow_cloud_models: true });
    await load(ctx, "gpt-oss:120b-cloud");
    expect(fake.calls).toEqual([]);
  });

  test("says what to do about a model that is not there", async () => {
    const { ctx } = await start();
    expect(await failure(load(ctx, "phi4"))).toMatchObject({
      code: "BACKEND_REJECTED",
      message: expect.stringContaining("ollama pull phi4"),
    });
  });

  test("ends with its signal, and Ollama ends the load", async () => {
    const { fake, ctx, device } = await onDevice({ loadMs: 60_000 });
    const stop = new AbortController();
    const loading = failure(load(ctx, TEXT, stop.signal));
    await until(() => device.used() > 0);
    stop.abort(new Error("the gateway is stopping"));
    expect((await loading).message).toBe("the gateway is stopping");
    await until(() => device.used() === 0);
    expect(fake.cancelled).toBe(1);
  });

  test("tells a device without room from other failures", async () => {
    const { ctx, memory } = await onDevice();
    memory.failingLoads = 2;
    for (const outcome of [failure(load(ctx, TEXT)), textError(ctx, { prompt: "Hello" })]) {
      expect((await outcome).code).toBe("OUT_OF_MEMORY");
    }
    await load(ctx, TEXT);
  });
});

describe("the size of a request", () => {
  const size = (input: Record<string, unknown>, settings = {}) =>
    plugin.capabilities["text.generate"].vram?.(
      { prompt: "x", truncate: false, ...input },
      settingsWith(settings),
    ).size;

  test("is the most tokens that it may write", () => {
    expect(size({ max_tokens: 50 })).toBe(50);
    expect(size({})).toBe(2_048);
    expect(size({ prompt: "long ".repeat(9_000) }, { default_max_tokens: 100 })).toBe(100);
  });

  test("is the number of texts to embed", () => {
    const cost = plugin.capabilities["text.embed"].vram?.(
      { texts: ["a", "b", "c"] },
      settingsWith(),
    );
    expect(cost?.size).toBe(3);
  });
});

describe("the fake's memory", () => {
  test("is taken by each model while it is loaded, context included", async () => {
    const { ctx, device } = await onDevice({ lingerMs: 0 });
    await load(ctx, TEXT);
    // 4.9 GB of weights are 4,674 MiB; 4,096 tokens take 512 MiB.
    expect(device.used()).toBe(4_674 + 512);
    expect(await plugin.residents?.(ctx, soon())).toEqual([
      { model: TEXT, residentMiB: device.used() },
    ]);
    await load(ctx, EMBED);
    expect(device.used()).toBeGreaterThan(5_186);
    for (const model of [TEXT, EMBED]) await plugin.free?.(ctx, model, soon());
    expect(device.used()).toBe(0);
  });

  test("is what the test says, and none on the CPU", async () => {
    const device = simulatedDevice();
    const memory = { folder: device.folder, residentMiB: { [TEXT]: 9_000 } };
    const { ctx } = await start({ memory }, { embed_on_cpu: true });
    await load(ctx, EMBED);
    expect(device.used()).toBe(0);
    await load(ctx, TEXT);
    expect(device.used()).toBe(9_000);
  });

  test("comes back late when it is told to", async () => {
    const { ctx, device, memory } = await onDevice({ lingerMs: 0 });
    memory.lateMs = 150;
    await load(ctx, TEXT);
    await plugin.free?.(ctx, TEXT, soon());
    expect(device.used()).toBe(5_186);
    await until(() => device.used() === 0);
  });

  test("stays after a free that lies, and is found again by the next load", async () => {
    const { ctx, device, memory, fake } = await onDevice({ lingerMs: 0 });
    memory.lies = true;
    await load(ctx, TEXT);
    await plugin.free?.(ctx, TEXT, soon());
    expect(await plugin.residents?.(ctx, soon())).toEqual([]);
    expect(device.used()).toBe(5_186);
    await load(ctx, TEXT);
    expect(device.used()).toBe(5_186);
    await fake.stop();
    expect(device.used()).toBe(0);
  });

  test("makes room among its own idle models, and refuses what does not fit then", async () => {
    const { ctx, device } = await onDevice({ totalMiB: 5_600 });
    await load(ctx, TEXT);
    await load(ctx, EMBED);
    expect(await plugin.residents?.(ctx, soon())).toMatchObject([{ model: EMBED }]);
    const { job, outcome } = startText(ctx, { prompt: "hang" });
    await until(() => job.emitted.length > 0);
    expect((await failure(load(ctx, "qwen3:8b"))).code).toBe("OUT_OF_MEMORY");
    expect(device.used()).toBe(5_186);
    await job.cancel();
    await outcome;
  });

  test("is shared with the CPU on a full device where the test wants that", async () => {
    const { ctx, memory } = await onDevice({ totalMiB: 3_000 });
    memory.full = "spill";
    await load(ctx, TEXT);
    expect(await plugin.residents?.(ctx, soon())).toEqual([{ model: TEXT, residentMiB: 3_000 }]);
  });

  test("holds a context beside the models when it is told to, until the process ends", async () => {
    const device = simulatedDevice();
    const { ctx, fake } = await start({
      lingerMs: 0,
      memory: { folder: device.folder, contextMiB: 300 },
    });
    await load(ctx, TEXT);
    expect(device.used()).toBe(5_486);
    await plugin.free?.(ctx, TEXT, soon());
    expect(device.used()).toBe(300);
    await fake.stop();
    expect(device.used()).toBe(0);
  });
});
