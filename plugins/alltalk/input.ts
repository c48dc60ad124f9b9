/** What a request may say, and what of it AllTalk can never do. */
import { inputs, type Static, t } from "switchyard/sdk";
import type { Settings } from "./settings.ts";

export const speechInput = t.Pick(inputs.speech, [
  ...(["text", "voice", "language", "speed", "format", "options"] as const),
]);
export type Speech = Static<typeof speechInput>;

export const voicesInput = t.Object({
  language: t.Optional(
    t.String({
      minLength: 2,
      maxLength: 35,
      description: "Only voices of this language: a BCP 47 tag such as en or pt-BR.",
    }),
  ),
});

/** AllTalk takes `speed` from 0.25 to 2. */
const MAX_SPEED = 2;
/** AllTalk's names of languages; Chinese is zh-cn, see `languageOf`. */
const LANGUAGES = [
  ...["ar", "cs", "de", "en", "es", "fr", "hi", "hu", "it", "ja", "ko", "nl", "pl", "pt", "ru"],
  ...["tr", "zh"],
];
/** Their voices speak one language each, whichever AllTalk is told. */
const OF_ONE_LANGUAGE: readonly string[] = ["piper", "vits", "parler"];

export function refusal({ text, language, speed }: Speech, config: Settings): string | undefined {
  if (!/[\p{L}\p{N}]/u.test(text)) return "text: holds nothing to say";
  if (speed > MAX_SPEED) return `speed: AllTalk speaks at most ${MAX_SPEED} times as fast`;
  const tag = language ?? config.language;
  if (languageOf(tag) !== undefined || OF_ONE_LANGUAGE.includes(config.engine)) return undefined;
  return `language: AllTalk does not speak "${tag}"; it knows ${LANGUAGES.join(", ")}`;
}

/** `en-GB` is AllTalk's `en`, every Chinese its `zh-cn`; undefined when it has no name for it. */
export function languageOf(tag: string): string | undefined {
  const [primary = ""] = tag.toLowerCase().split(/[-_]/);
  if (primary === "auto" || (primary !== "zh" && LANGUAGES.includes(primary))) return primary;
  return primary === "zh" || primary === "cmn" ? "zh-cn" : undefined;
}
