/** The built-in voice as a client meets it: what it says, how it sounds, what it refuses. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { BackendError } from "../../core/sdk/mod.ts";
import { testPlugin } from "../../core/sdk/testing/mod.ts";
import { installedVersion } from "../../plugins/espeak/engine.ts";
import plugin from "../../plugins/espeak/plugin.ts";
import {
  contextOf,
  fundamentalHz,
  inputOf,
  loudness,
  readWav,
  say,
  speech,
} from "./espeak-speech.ts";

testPlugin(plugin, {});

const context = contextOf({ idle_timeout_ms: 60_000 });
const usualFolder = process.env.TMPDIR;
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "espeak-test-"));
  process.env.TMPDIR = folder;
});

afterAll(async () => {
  await plugin.close?.(context);
  if (usualFolder === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = usualFolder;
  await rm(folder, { recursive: true });
});

const refused = (input: Parameters<typeof inputOf>[0]): string | undefined =>
  speech.check?.(inputOf(input), context.config);

describe("the sound", () => {
  test("is a WAV file with right sizes, 22,050 Hz, and not silent", async () => {
    const { file, artifact, output } = await say({ text: "Hello there, how are you?" }, context);
    const wav = readWav(file);
    expect(wav.sampleRateHz).toBe(22_050);
    expect(wav.seconds).toBeWithin(0.8, 4);
    expect(loudness(wav.samples)).toBeGreaterThan(500);
    expect(artifact.name).toBe("speech.wav");
    expect(artifact.mediaType).toBe("audio/wav");
    expect(artifact.metadata).toEqual({
      duration_seconds: expect.closeTo(wav.seconds, 3),
      sample_rate_hz: 22_050,
      voice: "English (America)",
      language: "en-us",
      words_per_minute: 175,
    });
    expect(output).toEqual(artifact.metadata);
  });

  test("takes about half the time at twice the speed, and stays within the engine's range", async () => {
    const text = "The quick brown fox jumps over the lazy dog.";
    const seconds = async (speed: number): Promise<number> =>
      readWav((await say({ text, speed }, context)).file).seconds;
    const normal = await seconds(1);
    expect((await seconds(2)) / normal).toBeWithin(0.35, 0.65);
    expect((await seconds(0.5)) / normal).toBeWithin(1.6, 2.4);
    expect((await say({ text, speed: 4 }, context)).output).toMatchObject({
      words_per_minute: 450,
    });
    expect((await say({ text, speed: 0.25 }, context)).output).toMatchObject({
      words_per_minute: 80,
    });
  });

  test("is much higher at pitch 2 and much lower at pitch 0.5", async () => {
    const hertz = async (pitch: number): Promise<number> =>
      fundamentalHz(
        readWav((await say({ text: "Mama, no more, no more.", options: { pitch } }, context)).file),
      );
    const normal = await hertz(1);
    expect(normal).toBeWithin(70, 160);
    expect((await hertz(2)) / normal).toBeWithin(1.5, 2.2);
    expect((await hertz(0.5)) / normal).toBeWithin(0.45, 0.7);
  });

  test("differs by voice, variant and language", async () => {
    const heard = async (wish: { voice?: string; language?: string }): Promise<number> =>
      fundamentalHz(
        readWav((await say({ text: "Mama, no more, no more.", ...wish }, context)).file),
      );
    expect(await heard({ voice: "f3" })).toBeGreaterThan((await heard({})) * 1.2);
    const german = await say({ text: "Guten Tag", language: "de-AT", voice: "f3" }, context);
    expect(german.output).toMatchObject({ voice: "German+f3", language: "de" });
  });
});

describe("any text", () => {
  const texts: Record<string, string> = {
    markup: 'Say <speak version="1.0"><break time="60s"/>&amp; & < > </speak>',
    "the engine's own notation": "[[h@l'oU]] [[[[ ]] \u0001 20P \u0001 V",
    "control characters and NUL": "one\u0000two\u0007three\u001b[31mfour\u007f\r\nfive",
    emojis: "well 😀 🧑‍🚀 👩‍👩‍👧‍👦 🇩🇪 done",
    "right-to-left text": "שלום עולם، مرحبا بالعالم \u202eabc\u202c",
    "half a surrogate pair": "one \ud83d two \udc00",
    "unassigned and private code points": "one \u{10ffff} \ue000 \ufffe \u{e0001} two",
    "one endless word": "a".repeat(2_000),
    "nothing but symbols": "!?#$%^*()_+-={}|:;,./~`",
    "combining marks": `z${"\u0301\u0489".repeat(300)}`,
    numbers: "9".repeat(400),
  };
  for (const [name, text] of Object.entries(texts)) {
    test(`is said and leaves the voice as it was: ${name}`, async () => {
      expect(loudness(readWav((await say({ text }, context)).file).samples)).toBeGreaterThan(100);
      const { file } = await say({ text: "Hello there" }, context);
      expect(readWav(file).seconds).toBeWithin(0.6, 0.9);
    });
  }

  test("is read out to its end, not obeyed: markup, notation, commands, NUL", async () => {
    const seconds = async (text: string): Promise<number> =>
      readWav((await say({ text }, context)).file).seconds;
    expect(await seconds("say <b>bold</b> now")).toBeGreaterThan(
      1.2 * (await seconds("say bold now")),
    );
    expect(await seconds("[[h@l'oU]] there")).toBeGreaterThan(1.2 * (await seconds("hello there")));
    const plain = "one   450S two three four five six";
    for (const control of ["\u0000", "\u0001"]) {
      const ratio = (await seconds(plain.replace("  ", ` ${control}`))) / (await seconds(plain));
      expect(ratio).toBeWithin(0.95, 1.05);
    }
  });

  test("of 20,000 characters is said to its end, with progress that only grows", async () => {
    const text = "Hello there, my friend. ".repeat(833).padEnd(20_000, "!");
    const { file, progress } = await say({ text }, context);
    expect(readWav(file).seconds).toBeGreaterThan(1_000);
    expect(progress.length).toBeGreaterThan(50);
    expect([...progress].sort((left, right) => left - right)).toEqual([...progress]);
    expect(progress.every((fraction) => fraction > 0 && fraction <= 1)).toBe(true);
  }, 60_000);

  test("without a sound is refused: at once when blank, by the job when the voice has none", async () => {
    for (const text of [" \n\t ", "\u0000\u0001", "\u200b\u2060\ufeff", "\u3000"]) {
      expect(refused({ text })).toBe("text holds nothing to say");
    }
    const error = await say({ text: "..." }, context).catch((reason) => reason);
    expect(BackendError.is(error) && error.code).toBe("BACKEND_REJECTED");
  });
});

describe("the house-keeping", () => {
  test("leaves no temporary file", async () => {
    await say({ text: "Hello" }, context);
    await say({ text: "..." }, context).catch(() => {});
    const aborted = AbortSignal.timeout(50);
    await say({ text: "Hello. ".repeat(2_000) }, context, aborted).catch(() => {});
    const left = await readdir(folder);
    // The contexts' own folders are not the plugin's doing.
    expect(left.filter((name) => !name.startsWith("switchyard-work-"))).toEqual([]);
  });

  test("is ready with the engine's version without a worker", async () => {
    const health = await plugin.health(context, AbortSignal.timeout(1_000));
    expect(health).toEqual({ status: "ready", version: "0.3.5" });
  });

  test("is down, with the reason, when the configuration names no such voice or language", async () => {
    for (const settings of [{ voice: "robbie" }, { language: "xx" }]) {
      const health = await plugin.health(contextOf(settings), AbortSignal.timeout(1_000));
      expect(health.status).toBe("down");
      const reason = health.status === "down" ? health.reason : "";
      expect(reason).toMatch(/^in the configuration, .* "(robbie|xx)"; the nearest are "/);
    }
  });

  test("finds no engine where the package is not installed", () => {
    expect(installedVersion(pathToFileURL(join(folder, "nowhere.js")))).toBeUndefined();
  });
});
