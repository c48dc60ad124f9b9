/**
 * Text as the engine may read it. The engine always reads SSML and its own phoneme notation
 * `[[…]]`, and takes control characters as commands; here a text is only a text.
 */

/**
 * Control characters, private-use and unassigned code points: none has a sound, and the engine uses
 * some of them for itself. Newlines and tabs stay, and so do the joiners that scripts are written
 * with.
 */
const SOUNDLESS = /[\p{Cc}\p{Co}\p{Cn}\uFFFD]/gu;

/** The text with everything that could be taken for markup or a command made harmless. */
export function markupOf(text: string): string {
  return text
    .toWellFormed()
    .replace(SOUNDLESS, (character) => (/[\n\t]/.test(character) ? character : " "))
    .replace(/\[(?=\[)/g, "[ ")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");
}

/** True when nothing but blanks and invisible characters is left. */
export function isBlank(text: string): boolean {
  return !/[^\s\p{Cf}]/u.test(markupOf(text));
}
