import { describe, expect, test } from "bun:test";
import alltalk from "../../plugins/alltalk/plugin.ts";
import { pathOf } from "../../plugins/alltalk/sound.ts";
import { speech, until, withAllTalk } from "./alltalk-harness.ts";

const soon = () => AbortSignal.timeout(5_000);
const settings = (config: Record<string, unknown> = {}) =>
  Object({ engine: "auto", language: "auto", ...config });

describe("health", () => {
  test("is ready with version and engine", () =>
    withAllTalk({}, async ({ ctx }) => {
      expect(await alltalk.health(ctx, soon())).toEqual({
        status: "ready",
        version: "v2 with xtts",
        busy: false,
      });
    }));

  test("knows version 1", () =>
    withAllTalk({ version: 1 }, async ({ ctx }) => {
      expect(await alltalk.health(ctx, soon())).toMatchObject({ version: "v1 with xtts" });
    }));

  test("is down while no engine is loaded, although the server answers 200", () =>
    withAllTalk({ unloaded: true }, async ({ ctx }) => {
      expect(await alltalk.health(ctx, soon())).toMatchObject({ status: "down" });
    }));

  test("does not ask a server that is held up by our own job, and calls it busy", () =>
    withAllTalk({}, async ({ ctx, job, fake }) => {
      const running = Promise.resolve(speech.run(job({ text: "hang on" }), ctx));
      await until(() => fake.forms.length === 1, "the call");
      const asked = fake.calls.length;
      expect(await alltalk.health(ctx, soon())).toMatchObject({ status: "ready", busy: true });
      expect(fake.calls).toHaveLength(asked);
      fake.release();
      await running;
      expect(await alltalk.health(ctx, soon())).toMatchObject({ busy: false });
    }));

  test("does ask again when the server was lost in the middle of a job", () =>
    withAllTalk({}, async ({ ctx, job, fake }) => {
      const running = Promise.resolve(speech.run(job({ text: "hang on" }), ctx));
      const failed = running.catch(Object);
      await until(() => fake.forms.length === 1, "the call");
      await fake.stop();
      expect(["BACKEND_UNREACHABLE", "BACKEND_LOST"]).toContain(Object(await failed).code);
      const health = await alltalk.health(ctx, soon()).catch((error) => error);
      expect(health.code).toBe("BACKEND_UNREACHABLE");
    }));

  test("says when the engine is another one than the settings say", () =>
    withAllTalk({ engine: "xtts", config: { engine: "piper" } }, async ({ ctx }) => {
      const health = await alltalk.health(ctx, soon());
      expect(health).toMatchObject({ status: "degraded" });
      expect(JSON.stringify(health)).toContain("AllTalk runs xtts");
    }));
});

describe("voices", () => {
  const list = (language?: string) => alltalk.routes?.voices.handle.bind(null, { language });

  test("are listed as the server names them", () =>
    withAllTalk({}, async ({ ctx }) => {
      const voices = await list()?.(ctx, soon());
      expect(voices).toContainEqual({ name: "voiceset:narrators", kind: "voice", engine: "xtts" });
    }));

  test("of Piper say which language they speak, and can be asked for by it", () =>
    withAllTalk({ engine: "piper" }, async ({ ctx }) => {
      const name = "de_DE-thorsten-medium.onnx";
      expect(await list("de")?.(ctx, soon())).toEqual([
        { name, kind: "voice", language: "de-DE", engine: "piper" },
      ]);
      expect(await list("sv")?.(ctx, soon())).toEqual([]);
    }));

  test("are none where AllTalk has none, or only one", async () => {
    await withAllTalk({ singleVoice: true }, async ({ ctx, fails, say }) => {
      expect(await list()?.(ctx, soon())).toEqual([]);
      expect((await fails({ voice: "amy" })).message).toContain("single voice");
      await say({});
    });
    await withAllTalk({ voices: ["No Voices Found"] }, async ({ ctx }) => {
      expect(await list()?.(ctx, soon())).toEqual([]);
    });
  });

  test("that do not exist are refused with the nearest name", () =>
    withAllTalk({}, async ({ fails, fake }) => {
      const error = await fails({ voice: "femal_01.wav" });
      expect(error.code).toBe("BACKEND_REJECTED");
      expect(error.message).toContain('did you mean "female_01.wav"?');
      expect((await fails({ voice: "../../secret.wav" })).code).toBe("BACKEND_REJECTED");
      expect(fake.forms).toHaveLength(0);
    }));

  test("are chosen by the language where each speaks only one", () =>
    withAllTalk({ engine: "piper" }, async ({ say, fails, fake }) => {
      await say({ language: "de" });
      await say({ language: "en-GB" });
      expect(fake.forms.map((form) => form.character_voice_gen)).toEqual([
        "de_DE-thorsten-medium.onnx",
        "en_GB-alan-medium.onnx",
      ]);
      expect((await fails({ language: "fr" })).message).toContain("there are voices for en-US");
    }));
});

describe("requests that can never work", () => {
  test.each([
    [{ text: "  … !", speed: 1 }, {}, "nothing to say"],
    [{ text: "Hi", speed: 2.5 }, {}, "at most 2 times"],
    [{ text: "Hi", speed: 1, language: "sv-SE" }, {}, 'does not speak "sv-SE"'],
    [{ text: "Hi", speed: 1 }, { language: "tlh" }, 'does not speak "tlh"'],
  ])("%j with %j", (input, config, words) => {
    expect(speech.check?.(input, settings(config))).toContain(words);
  });

  test.each([
    { text: "Hi", speed: 2 },
    { text: "Hi", speed: 0.25, language: "zh-Hant-TW" },
    { text: "Hi", speed: 1, language: "pt-BR" },
    { text: "42", speed: 1 },
  ])("%j can", (input) => {
    expect(speech.check?.(input, settings())).toBeUndefined();
  });

  test("a voice of one language may have any", () => {
    const input = { text: "Hej", speed: 1, language: "sv-SE" };
    expect(speech.check?.(input, settings({ engine: "piper" }))).toBeUndefined();
  });

  test("a speed is refused where the engine or the version has none", async () => {
    await withAllTalk({ engine: "vits" }, async ({ fails }) => {
      expect((await fails({ speed: 1.5 })).message).toContain("speed");
    });
    await withAllTalk({ version: 1 }, async ({ fails }) => {
      expect((await fails({ speed: 1.5 })).code).toBe("BACKEND_REJECTED");
    });
  });
});

describe("the rest", () => {
  test("offers the options that the engine says it has", async () => {
    await withAllTalk({}, async ({ ctx }) => {
      const options = await speech.options?.(ctx, soon());
      expect(Object.keys(options ?? {}).sort()).toEqual([
        "narrator_voice",
        "repetition_penalty",
        "temperature",
        "text_filtering",
        "text_not_inside",
      ]);
      expect(options?.temperature).toMatchObject({ default: 0.75, minimum: 0.1, maximum: 1 });
    });
    await withAllTalk({ engine: "piper" }, async ({ ctx }) => {
      expect(await speech.options?.(ctx, soon())).not.toHaveProperty("temperature");
    });
  });

  test("costs by engine, and nothing on the CPU", () => {
    const cost = (config: Record<string, unknown>) =>
      speech.vram?.({ text: "Hi", speed: 1 }, settings(config));
    expect(cost({ engine: "piper" })).toMatchObject({ residentMiB: 0, workingMiB: 0 });
    expect(cost({ engine: "xtts" })).toMatchObject({ model: "xtts", residentMiB: 3_000 });
    expect(cost({ engine: "xtts", resident_mib: 2_600 })).toMatchObject({ residentMiB: 2_600 });
  });

  test("makes room by LowVRAM, where the operator allows it and the engine can", async () => {
    await withAllTalk({}, async ({ ctx, fake }) => {
      await alltalk.free?.(ctx, "auto", soon());
      expect(fake.lowVram).toBe(true);
    });
    await withAllTalk({ config: { free_by_low_vram: false } }, async ({ ctx, fake }) => {
      const error = await alltalk.free?.(ctx, "auto", soon()).catch((cause) => cause);
      expect(error).toMatchObject({ code: "BACKEND_REJECTED" });
      expect(fake.calls).toEqual([]);
    });
    await withAllTalk({ engine: "piper" }, async ({ ctx }) => {
      const error = await alltalk.free?.(ctx, "piper", soon()).catch((cause) => cause);
      expect(String(error)).toContain("does not support lowvram");
    });
  });

  test.each([
    ["/audio/a.wav", "/audio/a.wav"],
    ["http://10.0.0.9:7851/audio/a%20b.wav?x=1", "/audio/a%20b.wav"],
    ["/audiocache/a.wav", "/audiocache/a.wav"],
  ])("takes only the path of %s", (url, path) => {
    expect(pathOf(url)).toBe(path);
  });

  test.each([
    "None",
    "/etc/passwd",
    "/audio/../settings",
    "/audio/",
    "file:///etc/passwd",
    "//evil/x",
  ])("takes no file from %s", (url) => {
    expect(() => pathOf(url)).toThrow("names no file of its own");
  });
});
