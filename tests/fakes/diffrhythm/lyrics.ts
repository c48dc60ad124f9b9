/**
 * Lyrics as DiffRhythm 1 reads them (infer/infer_utils.py, parse_lyrics and get_lrc_token): columns 1
 * to 9 are the time and from 10 on is the text, a line that does not fit is skipped in silence, lines
 * at or after the end are dropped, and for 95 seconds the last one always.
 */
export function sungLines(lrc: string, seconds: number): readonly [number, string][] {
  const lines: [number, string][] = [];
  for (const line of lrc.trim().split("\n")) {
    const [minutes = "", rest, ...more] = line.slice(1, 9).split(":");
    const time = Number(minutes) * 60 + Number(rest);
    if (minutes === "" || rest === undefined || more.length > 0 || Number.isNaN(time)) continue;
    if (time < seconds) lines.push([time, line.slice(10).trim()]);
  }
  return seconds === 95 ? lines.slice(0, -1) : lines;
}
