/** Cuts a long text into pieces that a server can take, where a reader would pause. */

/**
 * Pieces of at most `maxLength` UTF-16 units, in order: whole sentences where they fit, else whole
 * words, and a part of a word only when the word alone is longer. Space around a piece is dropped.
 * `language` is a BCP 47 tag; an unknown one counts as none.
 */
export function splitSentences(text: string, maxLength: number, language?: string): string[] {
  if (maxLength < 2) throw new RangeError(`a piece of ${maxLength} units cannot hold a character`);
  const locale = localeOf(language);
  const fits = (piece: string): boolean => piece.trim().length <= maxLength;
  const segments = (granularity: "sentence" | "word" | "grapheme") => (piece: string) =>
    [...new Intl.Segmenter(locale, { granularity }).segment(piece)].map(({ segment }) => segment);
  const ways: readonly ((piece: string) => string[])[] = [
    segments("sentence"),
    // Between words, so that commas and quotes stay where they belong; not all scripts have spaces.
    (piece) => piece.split(/(?<=\s)/),
    segments("word"),
    segments("grapheme"),
    // A character may be drawn from many code points.
    (piece) => [...piece],
  ];
  const pieces = ways.reduce(
    (cut, way) => cut.flatMap((piece) => (fits(piece) ? [piece] : pack(way(piece), maxLength))),
    [text],
  );
  return pieces.map((piece) => piece.trim()).filter((piece) => piece !== "");
}

/** Puts neighbours together as long as they fit; a piece that is too long stays alone. */
function pack(pieces: readonly string[], maxLength: number): string[] {
  const packed: string[] = [];
  for (const piece of pieces) {
    const last = packed.at(-1);
    const longer = `${last ?? ""}${piece}`;
    if (last !== undefined && longer.trim().length <= maxLength) packed[packed.length - 1] = longer;
    else packed.push(piece);
  }
  return packed;
}

function localeOf(language: string | undefined): string | undefined {
  try {
    return language === undefined ? undefined : Intl.getCanonicalLocales(language)[0];
  } catch {
    return undefined;
  }
}
