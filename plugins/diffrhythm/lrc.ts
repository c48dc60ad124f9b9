/**
 * Lyrics with times, as DiffRhythm 1 reads them: every line in the columns `[mm:ss.xx]text`, because
 * it looks at places 1 to 9 and 10, and skips in silence what does not fit. Plain lyrics are spread
 * over the song; lyrics that have times keep them.
 */

interface Line {
  readonly atSeconds: number;
  readonly text: string;
}

const STAMP = /^\s*\[(\d{1,3}):(\d{1,2})(?:[.:](\d{1,3}))?\]/;
/** A section label, or a tag such as `[ti:…]`: not to be sung. */
const LABEL = /^\[[^\]]*\]$/;
/** Phonemes per second that the model has room for; a Chinese character takes about three. */
const LETTERS_PER_SECOND = 20;
const WIDE = /[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]/g;

/** The lyrics for a song of that length; empty when there is nothing to sing. */
export function toLrc(lyrics: string | undefined, seconds: number): string {
  const lines = linesOf(lyrics ?? "", seconds);
  if (lines.length === 0) return "";
  // For 95 seconds the last line is always dropped, whichever it is; so late none is ever heard.
  return [...lines, { atSeconds: seconds - 0.01, text: "end" }].map(written).join("\n");
}

/** Why these lyrics cannot be sung in a song of that length. */
export function lyricsProblem(lyrics: string | undefined, seconds: number): string | undefined {
  const rows = rowsOf(lyrics ?? "");
  const sung = rows.filter((row) => row !== undefined);
  const untimed = sung.find(({ times }) => times.length === 0);
  const timed = sung.filter(({ times }) => times.length > 0);
  if (timed.length > 0 && untimed !== undefined) {
    return `lyrics: "${short(untimed.text)}" has no time although other lines have; give [mm:ss.xx] to all or to none`;
  }
  const late = timed.find(({ times }) => times.some((time) => time >= seconds));
  if (late !== undefined) {
    return `lyrics: "${short(late.text)}" begins at or after the end of ${seconds} s and would be dropped; raise duration_seconds or move it`;
  }
  const letters = sung.reduce((sum, { text }) => sum + lettersOf(text), 0);
  const room = seconds * LETTERS_PER_SECOND;
  if (letters <= room) return undefined;
  return `lyrics: ${letters} letters do not fit into ${seconds} s, which have room for about ${room}; shorten them or raise duration_seconds`;
}

function linesOf(lyrics: string, seconds: number): readonly Line[] {
  const rows = rowsOf(lyrics);
  if (rows.some((row) => row !== undefined && row.times.length > 0)) {
    return rows
      .flatMap((row) => row?.times.map((atSeconds) => ({ atSeconds, text: row.text })) ?? [])
      .filter(({ atSeconds }) => atSeconds < seconds)
      .sort((a, b) => a.atSeconds - b.atSeconds);
  }
  // A gap between sections takes the room of a line; the music begins and ends without words.
  const begin = Math.min(10, seconds * 0.08);
  const step = (seconds - begin - 5) / Math.max(1, rows.length);
  return rows.flatMap((row, place) =>
    row === undefined ? [] : [{ atSeconds: begin + place * step, text: row.text }],
  );
}

interface Row {
  readonly times: readonly number[];
  readonly text: string;
}

/** What is sung, line by line; undefined for a gap, of which none comes first, last or twice. */
function rowsOf(lyrics: string): readonly (Row | undefined)[] {
  const rows: (Row | undefined)[] = [];
  for (const line of lyrics.split(/\r\n|[\n\r\u2028\u2029]/)) {
    const row = rowOf(line);
    if (row !== undefined || (rows.length > 0 && rows.at(-1) !== undefined)) rows.push(row);
  }
  return rows.at(-1) === undefined ? rows.slice(0, -1) : rows;
}

function rowOf(line: string): Row | undefined {
  const times: number[] = [];
  let rest = line;
  for (let stamp = STAMP.exec(rest); stamp !== null; stamp = STAMP.exec(rest)) {
    const [whole, minutes, seconds, fraction = "0"] = stamp;
    times.push(Number(minutes) * 60 + Number(`${seconds}.${fraction}`));
    rest = rest.slice(whole.length);
  }
  const text = rest.replace(/\p{Cc}+/gu, " ").trim();
  return text === "" || LABEL.test(text) ? undefined : { times, text };
}

function written({ atSeconds, text }: Line): string {
  const hundredths = Math.floor(atSeconds * 100 + 0.001);
  const two = (value: number): string => String(value).padStart(2, "0");
  const seconds = Math.floor(hundredths / 100);
  return `[${two(Math.floor(seconds / 60))}:${two(seconds % 60)}.${two(hundredths % 100)}]${text}`;
}

const lettersOf = (text: string): number => text.length + 2 * (text.match(WIDE)?.length ?? 0);
const short = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}…` : text);
