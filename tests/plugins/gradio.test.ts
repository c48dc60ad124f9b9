/** Gradio programs as backends from settings alone: MusicGen and Stable Audio on three versions. */
import { afterEach, describe, expect, test } from "bun:test";
import { createTestContext, createTestJob, testPlugin } from "switchyard/sdk/testing";
import plugin from "../../plugins/gradio/plugin.ts";
import { type FakeGradio, startFakeGradio } from "../fakes/gradio.ts";
import { musicgen, NO_STOP, stable, yuegp } from "./gradio-cases.ts";

for (const gradio of ["4.44.1", "5.49.1", "6.25.0"]) {
  describe(`MusicGen on Gradio ${gradio}`, () => {
    testPlugin(plugin, {
      fake: () => startFakeGradio({ signature: "audiocraft-musicgen", gradio }),
      config: musicgen,
    });
  });
  describe(`Stable Audio on Gradio ${gradio}`, () => {
    testPlugin(plugin, {
      fake: () => startFakeGradio({ signature: "stable-audio-tools-0.0.19", gradio }),
      config: stable,
      inputs: { "audio.generate": { prompt: "a bell", duration_seconds: 5 } },
      without: { hang: NO_STOP },
    });
  });
  describe(`YuEGP on Gradio ${gradio}`, () => {
    testPlugin(plugin, {
      fake: () => startFakeGradio({ signature: "yuegp-v3", gradio }),
      config: yuegp,
      inputs: { "music.generate": { prompt: "rock", lyrics: "[verse]\nla\n" } },
    });
  });
}

describe("a Gradio backend from settings alone", () => {
  let fake: FakeGradio;
  afterEach(() => fake?.stop());

  test("sends the fields of a request to the parameters that the settings name", async () => {
    fake = await startFakeGradio();
    const ctx = createTestContext(plugin, fake.url, stable);
    const input = { prompt: "a bell", duration_seconds: 4.6, options: { steps: 8 } };
    const capability = plugin.capabilities["audio.generate"];
    await capability.run(createTestJob(input), ctx);
    const { data = [] } = fake.joined[0] ?? {};
    expect([data[0], data[3], data[5], data[7]]).toEqual(["a bell", 5, 8, "-1"]);
    expect([data[15], data[16]]).toEqual(["wav", "output.wav"]);
  });

  test("takes what it has a place for, and offers one kind of work", () => {
    const { config } = createTestContext(plugin, undefined, stable);
    expect(plugin.offers?.(config)).toEqual(["audio.generate"]);
    const takes = plugin.capabilities["audio.generate"].takes?.(config) ?? [];
    expect([...takes].sort()).toEqual([
      "duration_seconds",
      "format",
      "init_audio",
      "negative_prompt",
      "options",
      "prompt",
      "seed",
    ]);
  });

  test("refuses a request without what the program needs", () => {
    const { config } = createTestContext(plugin, undefined, stable);
    const { check } = plugin.capabilities["audio.generate"];
    expect(check?.({ prompt: "x" }, config)).toBe("Stable Audio needs duration_seconds");
    expect(check?.({ prompt: "x", duration_seconds: 5 }, config)).toBeUndefined();
  });

  test("declares what a request may set in options; texts only where they are named", async () => {
    fake = await startFakeGradio({ signature: "audiocraft-musicgen", gradio: "4.44.1" });
    const { fixed: _, ...open } = musicgen;
    const optionsOf = async (config: Record<string, unknown>) => {
      const ctx = createTestContext(plugin, fake.url, config);
      const { options } = plugin.capabilities["music.generate"];
      return Object.keys((await options?.(ctx, AbortSignal.timeout(5_000))) ?? {});
    };
    expect(await optionsOf(open)).toEqual(["decoder", "topk", "topp", "temperature"]);
    expect(await optionsOf({ ...open, options: ["topk"] })).toEqual(["topk"]);
    expect(await optionsOf({ ...open, options: ["model_path"] })).toEqual(["model_path"]);
    expect(await optionsOf({ ...musicgen, options: ["model_path"] })).toEqual([]);
  });

  test("says which setting is wrong, and that a version is too new", async () => {
    fake = await startFakeGradio({ signature: "audiocraft-musicgen" });
    const reasonOf = async (config: Record<string, unknown>) => {
      const ctx = createTestContext(plugin, fake.url, { ...musicgen, ...config });
      const health = await plugin.health(ctx, AbortSignal.timeout(5_000));
      return "reason" in health ? health.reason : health.status;
    };
    expect(await reasonOf({})).toBe("ready");
    expect(await reasonOf({ newest_gradio: 4 })).toContain("Gradio 4 at most");
    expect(await reasonOf({ params: { lyric: { to: "text" } } })).toContain("lyric is no field");
    expect(await reasonOf({ fixed: { text: "x" } })).toContain("text is filled in twice");
    expect(await reasonOf({ cancel: { mode: "interrupt" } })).toContain("cancel.endpoint");
    expect(await reasonOf({ page_title: "AudioCraft" })).toContain('no "AudioCraft"');
  });
});
