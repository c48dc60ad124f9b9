/** The engine's voices as its own list gives them (voices.json), ready to be searched. */
import { nearest } from "./nearest.ts";
import listed from "./voices.json" with { type: "json" };

export interface Voice {
  readonly name: string;
  readonly identifier: string;
  /** The tags of the languages it speaks, in lower case, best first. */
  readonly languages: readonly string[];
  /** By tag; the lowest number is the best voice of that language. */
  readonly priority: ReadonlyMap<string, number>;
}

export const VOICES: readonly Voice[] = listed.voices.map(({ name, identifier, languages }) => {
  const ranked = [...languages].sort((left, right) => left.priority - right.priority);
  return {
    name,
    identifier,
    languages: ranked.map(({ tag }) => tag.toLowerCase()),
    priority: new Map(ranked.map(({ tag, priority }) => [tag.toLowerCase(), priority])),
  };
});

/** Changes of timbre that go with every voice. */
export const VARIANTS: readonly { readonly name: string; readonly gender?: string }[] =
  listed.variants;

/** Tags of languages that the engine knows by another tag. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ["iw", "he"],
  ["in", "id"],
  ["zh-hk", "yue"],
  ["zh-mo", "yue"],
]);

/**
 * The nearest tag that a voice speaks: for en-GB-x-any it is en-gb; undefined when none is near.
 */
export function spokenTag(language: string): string | undefined {
  const subtags = language.toLowerCase().replaceAll("_", "-").split("-");
  for (let length = subtags.length; length > 0; length -= 1) {
    const parent = subtags.slice(0, length).join("-");
    const tag = ALIASES.get(parent) ?? parent;
    if (VOICES.some((voice) => voice.priority.has(tag))) return tag;
  }
  return undefined;
}

/** The best voice for a BCP 47 tag or its nearest parent. */
export function voiceForLanguage(language: string): Voice | undefined {
  const tag = spokenTag(language);
  if (tag === undefined) return undefined;
  const rank = (voice: Voice): number => voice.priority.get(tag) ?? Number.POSITIVE_INFINITY;
  return [...VOICES].sort((left, right) => rank(left) - rank(right))[0];
}

/** A voice by its name, its identifier or the exact tag of its language. */
export function voiceNamed(text: string): Voice | undefined {
  const wanted = text.toLowerCase();
  return (
    VOICES.find((voice) => voice.name.toLowerCase() === wanted) ??
    VOICES.find((voice) => voice.identifier.toLowerCase() === wanted) ??
    (VOICES.some((voice) => voice.priority.has(wanted)) ? voiceForLanguage(wanted) : undefined)
  );
}

export function variantNamed(text: string): string | undefined {
  const wanted = text.toLowerCase();
  return VARIANTS.find((variant) => variant.name.toLowerCase() === wanted)?.name;
}

export function noSuchVoice(voice: string): string {
  const names = VOICES.flatMap(({ name, languages }) => [name, ...languages]);
  return missing("voice", voice, [...names, ...VARIANTS.map(({ name }) => name)]);
}

export function noSuchVariant(variant: string): string {
  const names = VARIANTS.map(({ name }) => name);
  return missing("variant", variant, names);
}

export function noSuchLanguage(language: string): string {
  const tags = VOICES.flatMap(({ languages }) => languages);
  return missing("language", language, tags);
}

function missing(what: string, wrong: string, names: readonly string[]): string {
  const near = nearest(wrong, names).map((name) => JSON.stringify(name));
  return (
    `eSpeak NG has no ${what} ${JSON.stringify(wrong)}; ` +
    `the nearest are ${near.join(", ")} (all: GET /tts/voices)`
  );
}
