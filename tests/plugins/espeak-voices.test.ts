/** Which voice a request gets, and that the shipped list of voices is the engine's own. */
import { expect, test } from "bun:test";
import { chooseVoice } from "../../plugins/espeak/choose-voice.ts";
import plugin from "../../plugins/espeak/plugin.ts";
import { openSpeakers } from "../../plugins/espeak/speakers.ts";
import shipped from "../../plugins/espeak/voices.json";
import { contextOf, inputOf, speech } from "./espeak-speech.ts";

const context = contextOf();
const signal = AbortSignal.timeout(30_000);
const chosen = (voice?: string, language?: string): string => {
  const choice = chooseVoice({ voice, language }, { language: "en-US" });
  return choice.kind === "chosen" ? choice.identifier : choice.reason;
};
const refused = (wish: { voice?: string; language?: string }): string =>
  speech.check?.(inputOf({ text: "Hello", ...wish }), context.config) ?? "accepted";

test("the shipped list is what the engine says", async () => {
  const speakers = openSpeakers(0);
  const { voices, variants } = await speakers.list(signal);
  await speakers.close();
  expect({ voices, variants }).toEqual(shipped);
});

test("a language gets its best voice, or its nearest parent's", () => {
  for (const [language, identifier] of [
    ["en", "gmw/en"],
    ["en-US", "gmw/en-US"],
    ["en_us", "gmw/en-US"],
    ["EN-gb", "gmw/en"],
    ["en-GB-x-rp", "gmw/en-GB-x-rp"],
    ["en-GB-x-unknown", "gmw/en"],
    ["en-AU", "gmw/en"],
    ["de-AT", "gmw/de"],
    ["pt-BR", "roa/pt-BR"],
    ["es-MX", "roa/es-419"],
    ["no", "gmq/nb"],
    ["zh-CN", "sit/cmn"],
    ["zh-HK", "sit/yue"],
    ["iw", "sem/he"],
  ] as const) {
    expect(chosen(undefined, language)).toBe(identifier);
  }
});

test("a voice may be written as name, identifier or tag, alone or with a variant", () => {
  for (const [voice, identifier] of [
    ["English (Scotland)", "gmw/en-GB-scotland"],
    ["english (scotland)", "gmw/en-GB-scotland"],
    ["roa/fr-BE", "roa/fr-BE"],
    ["en-gb", "gmw/en"],
    ["en-us+f3", "gmw/en-US+f3"],
    ["German+Mr serious", "gmw/de+Mr serious"],
    ["F3", "gmw/en-US+f3"],
    ["+whisper", "gmw/en-US+whisper"],
  ] as const) {
    expect(chosen(voice)).toBe(identifier);
  }
  expect(chosen("f2", "de")).toBe("gmw/de+f2");
  expect(chosen("en-us", "en-GB")).toBe("gmw/en-US");
});

test("the configured voice and language count when the request names neither", () => {
  const identifier = (wish: object, configured: { voice?: string; language: string }): unknown =>
    Object.entries(chooseVoice(wish, configured)).find(([key]) => key === "identifier")?.[1];
  expect(identifier({}, { language: "fr" })).toBe("roa/fr");
  expect(identifier({}, { language: "fr", voice: "de+m3" })).toBe("gmw/de+m3");
  expect(identifier({}, { language: "fr", voice: "f3" })).toBe("roa/fr+f3");
  expect(identifier({ language: "it" }, { language: "fr", voice: "de+m3" })).toBe("roa/it");
});

test("a wrong voice, variant or language is refused with the nearest names", () => {
  expect(refused({ voice: "englsh (america)" })).toContain('"English (America)"');
  expect(refused({ voice: "scotland" })).toContain('"English (Scotland)"');
  expect(refused({ voice: "en-us+f9" })).toMatch(/no variant "f9".*"f1"/);
  expect(refused({ language: "xx-YY" })).toMatch(/no language "xx-YY"; the nearest are "/);
  expect(refused({ voice: "en-us", language: "de" })).toContain("speaks en-us, not");
  for (const voice of ["", "+", "f3+", "en-us+", "a".repeat(128), "gmw/../../x", "__proto__"]) {
    expect(refused({ voice })).toContain("nearest");
  }
});

test("GET /tts/voices lists every voice, or those of a language, with names that a request may use", async () => {
  const route = plugin.routes?.voices;
  const list = (await route?.handle({}, context, signal)) as { name: string; kind: string }[];
  expect(list.filter(({ kind }) => kind === "voice").length).toBe(shipped.voices.length);
  expect(list.filter(({ kind }) => kind === "variant").length).toBe(shipped.variants.length);
  expect(new Set(list.map(({ name }) => name)).size).toBe(list.length);
  expect(
    list.map(({ name }) => refused({ voice: name })).filter((is) => is !== "accepted"),
  ).toEqual([]);
  const british = (await route?.handle({ language: "en-GB" }, context, signal)) as {
    kind: string;
    languages: string[];
  }[];
  const voices = british.filter(({ kind }) => kind === "voice");
  expect(voices.length).toBeWithin(3, 8);
  expect(voices.every(({ languages }) => languages.some((tag) => tag.startsWith("en-gb")))).toBe(
    true,
  );
  expect(await route?.handle({ language: "xx" }, context, signal)).toEqual([]);
});
