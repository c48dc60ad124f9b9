/** What GET /tts/voices answers. */
import { spokenTag, VARIANTS, VOICES } from "./catalogue.ts";

export interface VoiceEntry {
  /** What a request writes in `voice`. */
  readonly name: string;
  /** A variant changes the timbre of any voice: alone, or after one, as in `en-us+f3`. */
  readonly kind: "voice" | "variant";
  readonly language?: string;
  /** Every tag that this voice answers to, best first. */
  readonly languages?: readonly string[];
  readonly gender?: string;
}

/** All voices, or those of one language, and the variants, which go with every voice. */
export function listVoices(language?: string): readonly VoiceEntry[] {
  const tag = language === undefined ? "" : spokenTag(language);
  if (tag === undefined) return [];
  const voices = VOICES.filter(({ languages }) =>
    languages.some((spoken) => tag === "" || spoken === tag || spoken.startsWith(`${tag}-`)),
  );
  return [
    ...voices.map(({ name, languages }) => {
      return { name, kind: "voice", language: languages[0] ?? "", languages } as const;
    }),
    ...VARIANTS.map((variant) => ({ ...variant, kind: "variant" }) as const),
  ];
}
