/** Which of the engine's voices a request means: by voice, by language, or by the configuration. */
import {
  noSuchLanguage,
  noSuchVariant,
  noSuchVoice,
  type Voice,
  variantNamed,
  voiceForLanguage,
  voiceNamed,
} from "./catalogue.ts";

export interface Wish {
  /** A voice, a variant (`f3`), or both (`en-us+f3`). */
  readonly voice?: string;
  readonly language?: string;
}

export interface Chosen {
  readonly kind: "chosen";
  /** What the engine takes: `gmw/en-US+f3`. */
  readonly identifier: string;
  /** For people: `English (America)+f3`. */
  readonly name: string;
  /** The voice's own tag, which may be a parent of the one that was asked for. */
  readonly language: string;
}

export type Choice = Chosen | { readonly kind: "refused"; readonly reason: string };

/** The configured voice counts only for a request that names neither a voice nor a language. */
export function chooseVoice(wish: Wish, configured: Wish & { language: string }): Choice {
  if (wish.voice !== undefined) return byVoice(wish.voice, wish.language, configured.language);
  if (wish.language !== undefined) return byLanguage(wish.language);
  if (configured.voice === undefined) return byLanguage(configured.language);
  return byVoice(configured.voice, undefined, configured.language);
}

function byVoice(text: string, language: string | undefined, defaultLanguage: string): Choice {
  const plus = text.lastIndexOf("+");
  const onlyVariant = plus < 0 && variantNamed(text) !== undefined;
  const base = onlyVariant ? "" : text.slice(0, plus < 0 ? text.length : plus);
  const wanted = onlyVariant ? text : plus < 0 ? undefined : text.slice(plus + 1);
  const variant = wanted === undefined ? undefined : variantNamed(wanted);
  if (wanted !== undefined && variant === undefined) return refuse(noSuchVariant(wanted));
  if (base === "" && variant !== undefined) return byLanguage(language ?? defaultLanguage, variant);

  const voice = voiceNamed(base);
  if (voice === undefined) return refuse(noSuchVoice(base));
  if (language !== undefined && !speaks(voice, language)) {
    return refuse(
      `voice ${JSON.stringify(voice.name)} speaks ${voice.languages[0]}, not ` +
        `${JSON.stringify(language)}; leave one of the two out`,
    );
  }
  return chosen(voice, variant);
}

function byLanguage(language: string, variant?: string): Choice {
  const voice = voiceForLanguage(language);
  return voice === undefined ? refuse(noSuchLanguage(language)) : chosen(voice, variant);
}

/** Whether both are of one language, whatever the region. */
function speaks(voice: Voice, language: string): boolean {
  const primary = (tag: string): string | undefined => tag.split("-")[0];
  const best = voiceForLanguage(language);
  return (
    best?.languages.some((tag) => voice.languages.map(primary).includes(primary(tag))) ?? false
  );
}

function chosen(voice: Voice, variant: string | undefined): Chosen {
  const suffix = variant === undefined ? "" : `+${variant}`;
  return {
    kind: "chosen",
    identifier: `${voice.identifier}${suffix}`,
    name: `${voice.name}${suffix}`,
    language: voice.languages[0] ?? "",
  };
}

function refuse(reason: string): Choice {
  return { kind: "refused", reason };
}
