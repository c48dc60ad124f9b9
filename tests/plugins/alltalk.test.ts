import { describe, expect, test } from "bun:test";
import { textOf } from "../fakes/alltalk/wav.ts";
import { speech, until, withAllTalk } from "./alltalk-harness.ts";

const SENTENCES = Array.from({ length: 60 }, (_, index) => `Sentence ${index} of the long text.`);
const LONG = SENTENCES.join(" ");

describe("what AllTalk is asked for", () => {
  test("a form with the text, the voice and the language, never played aloud", () =>
    withAllTalk({}, async ({ say, fake }) => {
      await say({ text: "Mind the gap.", voice: "male_01.wav", language: "en-GB", speed: 1.25 });
      expect(fake.forms).toHaveLength(1);
      expect(fake.forms[0]).toMatchObject({
        text_input: "Mind the gap.",
        character_voice_gen: "male_01.wav",
        language: "en",
        speed: "1.25",
        autoplay: "false",
        output_file_timestamp: "true",
      });
      expect(fake.forms[0]?.output_file_name).toMatch(/^[a-zA-Z0-9_]+$/);
    }));

  test("version 1 gets every field that it requires, and none that it does not know", () =>
    withAllTalk({ version: 1 }, async ({ say, fake }) => {
      const output = await say({ text: "Mind the gap." });
      expect(fake.forms[0]).toMatchObject({
        character_voice_gen: "female_01.wav",
        narrator_voice_gen: "female_01.wav",
        language: "en",
        narrator_enabled: "false",
      });
      expect(fake.forms[0]).not.toHaveProperty("speed");
      expect(output.files).toHaveLength(1);
    }));

  test("a server whose page of paths fails is known by its settings", () =>
    withAllTalk({ noPaths: true }, async ({ say, fake }) => {
      await say({ speed: 1.5 });
      expect(fake.forms[0]).toMatchObject({ speed: "1.5" });
    }));

  test("options of a request go along by AllTalk's names", () =>
    withAllTalk({}, async ({ say, fake }) => {
      const options = {
        narrator_voice: "male_01.wav",
        text_not_inside: "silent",
        temperature: 0.5,
      };
      await say({ options });
      expect(fake.forms[0]).toMatchObject({
        narrator_enabled: "true",
        narrator_voice_gen: "male_01.wav",
        text_not_inside: "silent",
        temperature: "0.5",
      });
    }));

  test.each([
    "$(reboot) `id` '; rm -rf /; \" \\ ../../etc/passwd",
    'a line\nand another\r\n--boundary\r\nContent-Disposition: form-data; name="autoplay"\r\n\r\ntrue',
    "nothing \u0000 special",
  ])("a text is a text, whatever stands in it: %j", (text) =>
    withAllTalk({}, async ({ say, fake }) => {
      await say({ text });
      expect(fake.forms[0]?.text_input).toBe(
        text.replaceAll("\r\n", "\n").replaceAll("\n", "\r\n"),
      );
      expect(fake.forms[0]?.autoplay).toBe("false");
      expect(fake.forms[0]?.output_file_name).toMatch(/^switchyard_[0-9a-f]+_1$/);
    }),
  );
});

describe("a long text", () => {
  test("is spoken in parts that end with a sentence, and comes back as one file", () =>
    withAllTalk({ config: { max_characters: 200 } }, async ({ job, ctx, fake }) => {
      const work = job({ text: LONG });
      const output = await speech.run(work, ctx);
      expect(fake.forms.length).toBeGreaterThan(5);
      expect(fake.together).toBe(1);
      const parts = fake.forms.map(({ text_input = "" }) => text_input);
      expect(parts.every((part) => part.length <= 200 && part.endsWith("."))).toBe(true);
      expect(parts.join(" ")).toBe(LONG);
      expect(work.artifacts).toHaveLength(1);
      expect(textOf(work.artifacts[0]?.bytes ?? new Uint8Array())).toBe(parts.join(""));
      expect(output).toMatchObject({ parts: parts.length, engine: "xtts" });
      expect(work.progressed.at(0)).toEqual({ fraction: 0, note: `part 1 of ${parts.length}` });
      expect(work.progressed).toHaveLength(parts.length);
    }));

  test("is not spoken again from the start after a restart", () =>
    withAllTalk({ config: { max_characters: 200 } }, async ({ job, ctx, fake }) => {
      const first = job({ text: LONG });
      const dying = Promise.resolve(speech.run(first, ctx)).catch(() => {});
      await until(() => first.steps.size >= 3, "three parts");
      const steps = new Map(first.steps);
      await first.cancel();
      await dying;
      const before = fake.forms.length;
      const again = job({ text: LONG }, { steps });
      await speech.run(again, ctx);
      const names = fake.forms.slice(before).map(({ output_file_name = "" }) => output_file_name);
      expect(names[0]).toEndWith(`_${steps.size + 1}`);
      expect(again.artifacts).toHaveLength(1);
    }));

  test("of which the parts do not fit together is a bad output", () =>
    withAllTalk({ firstRateHz: 22_050, config: { max_characters: 200 } }, async ({ fails }) => {
      const { code, message } = await fails({ text: LONG });
      expect(code).toBe("BACKEND_BAD_OUTPUT");
      expect(message).toContain("24000 Hz");
    }));

  test("is refused where the server makes no WAV", () =>
    withAllTalk({ format: "mp3", config: { max_characters: 200 } }, async ({ fails }) => {
      const { code, message } = await fails({ text: LONG });
      expect(code).toBe("BACKEND_REJECTED");
      expect(message).toContain("transcode_audio_format");
    }));

  test("a short one is stored as the server made it", () =>
    withAllTalk({ format: "mp3" }, async ({ job, ctx }) => {
      const work = job({ text: "Mind the gap." });
      await speech.run(work, ctx);
      expect(work.artifacts[0]).toMatchObject({ name: "speech.mp3", mediaType: "audio/mpeg" });
    }));
});

describe("the end of a job", () => {
  test("a cancelled one settles only when AllTalk is done with it", () =>
    withAllTalk({}, async ({ job, ctx, fake }) => {
      const work = job({ text: "hang on" });
      const order: string[] = [];
      const running = Promise.resolve(speech.run(work, ctx)).finally(() => order.push("settled"));
      running.catch(() => {});
      await until(() => fake.forms.length === 1, "the call");
      await work.cancel();
      // The server is held up meanwhile, as the real one.
      const asked = fetch(`${fake.url}/api/ready`).then(() => order.push("answered"));
      await until(() => fake.calls.filter((call) => call === "GET /api/ready").length === 2, "");
      order.push("released");
      fake.release();
      expect(String(await running.catch((error) => error))).toContain("cancelled");
      await asked;
      expect(order[0]).toBe("released");
      expect(fake.stopped).toBe(false);
      expect(work.artifacts).toHaveLength(0);
    }));

  test("a cancelled one starts no further part", () =>
    withAllTalk({ config: { max_characters: 200 } }, async ({ job, ctx, fake }) => {
      const work = job({ text: `${"hang on. "}${LONG}` });
      const running = Promise.resolve(speech.run(work, ctx)).catch(() => {});
      await until(() => fake.forms.length === 1, "the call");
      await work.cancel();
      fake.release();
      await running;
      expect(fake.forms).toHaveLength(1);
    }));

  test.each([
    ["fail", "BACKEND_FAILED", "log"],
    ["oom", "OUT_OF_MEMORY", "out of"],
    ["memory", "OUT_OF_MEMORY", "out of memory"],
    ["no-model", "BACKEND_FAILED", "choose one"],
    ["locked", "BACKEND_FAILED", "its own files"],
    ["null-output", "BACKEND_BAD_OUTPUT", "without any sound"],
    ["none", "BACKEND_BAD_OUTPUT", "no file"],
  ])("%s is %s", (text, code, words) =>
    withAllTalk({}, async ({ fails }) => {
      const error = await fails({ text });
      expect(error.code).toBe(code);
      expect(error.message).toContain(words);
    }),
  );

  test("a call without an answer in its time is stalled", () =>
    withAllTalk({ config: { part_timeout_ms: 1_000 } }, async ({ fails }) => {
      expect((await fails({ text: "hang" })).code).toBe("STALLED");
    }));

  test("a text that the server finds too long is refused in its words", () =>
    withAllTalk({ maxCharacters: 40 }, async ({ fails }) => {
      const error = await fails({ text: "This text is longer than forty characters are." });
      expect(error).toMatchObject({ code: "BACKEND_REJECTED" });
      expect(error.message).toContain("text_input");
    }));

  test("a server without an engine is busy, not broken", () =>
    withAllTalk({ unloaded: true }, async ({ fails }) => {
      expect((await fails({})).code).toBe("BACKEND_BUSY");
    }));
});
