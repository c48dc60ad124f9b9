/** Texts as YuE v1 and YuEGP can read them; what they cannot read they leave out without a word. */
import { BackendError } from "switchyard/sdk";

export interface Section {
  readonly label: string;
  readonly text: string;
}

/** What follows the label is trimmed by hand: two greedy patterns would take turns for ever. */
const LABEL = /^\s*\[([^\][]*)\]([\s\S]*)$/;
const MAX_GENRES = 150;

/**
 * A label alone is one word to them: `[Verse 1]` and `[pre-chorus]` would vanish with all that
 * follows. A bracket inside a line would end its section.
 */
export function sectionsOf(lyrics: string): readonly Section[] {
  const sections: { label: string; lines: string[] }[] = [];
  for (const line of lyrics.replace(/\r\n?/g, "\n").split("\n")) {
    const [, name, rest = line] = LABEL.exec(line) ?? [];
    if (name !== undefined) sections.push({ label: labelOf(name), lines: [] });
    if (rest.trim() === "") continue;
    if (sections.length === 0) sections.push({ label: "verse", lines: [] });
    sections.at(-1)?.lines.push(rest.trim().replaceAll("[", "(").replaceAll("]", ")"));
  }
  return sections.map(({ label, lines }) => ({ label, text: lines.join("\n") }));
}

function labelOf(name: string): string {
  const words = name.toLowerCase().match(/[a-z]+/g) ?? [];
  return words.slice(0, 2).join("_") || "verse";
}

/** Every section ends with an empty line: YuEGP drops a last one that is not ended. */
export function lyricsFrom(sections: readonly Section[]): string {
  return sections.map(({ label, text }) => `[${label}]\n${text}\n\n`).join("");
}

/** On one line: a second one would be a second song. */
export function genresOf({ style, prompt }: { readonly style?: string; readonly prompt: string }) {
  return (style ?? prompt).replace(/[\s\p{Cc}]+/gu, " ").trim();
}

/**
 * YuE v1 names its files by them, so a slash, a foreign letter or too many end it after stage 1.
 * What means something to a shell has no business in a name, whoever reads it later.
 */
export function genresForFileName(genres: string): string {
  const plain = genres
    .replace(/\//g, " ")
    .replace(/[^\w ,.&+-]/g, "")
    .replace(/ +/g, " ")
    .trim();
  if (plain.length <= MAX_GENRES) return plain;
  const cut = plain.slice(0, MAX_GENRES + 1);
  return cut.slice(0, Math.max(cut.lastIndexOf(" "), 0) || MAX_GENRES).trim();
}

/** What the shared schema leaves open and these programs need. */
export function needed(lyrics: string | undefined, limit: number): readonly Section[] {
  const sections = sectionsOf(lyrics ?? "");
  const problem = refusedSections(sections, limit);
  if (problem !== undefined) throw new BackendError("BACKEND_REJECTED", problem);
  return sections;
}

export function refusedSections(sections: readonly Section[], limit: number): string | undefined {
  if (!sections.some(({ text }) => text !== "")) {
    return "lyrics are needed: YuE sings them section by section, for example [verse] and [chorus]";
  }
  return sections.length <= limit
    ? undefined
    : `the lyrics have ${sections.length} sections and this backend sings at most ${limit}; ` +
        "shorten them, or let the operator raise max_sections";
}
