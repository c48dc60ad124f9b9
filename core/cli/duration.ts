/** Durations as people write them on a command line: `30d`, `24h`, `90m`, `45s`, `0`. */
import { UsageError } from "./environment.ts";

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
};
const MAX_MS = 100 * 365 * 86_400_000;

/** Milliseconds; throws UsageError naming the option. */
export function parseDuration(text: string, option: string): number {
  const [, count, unit] = /^(\d{1,9})([smhdw])$/.exec(text) ?? [];
  const durationMs = text === "0" ? 0 : Number(count) * (UNIT_MS[unit ?? ""] ?? Number.NaN);
  if (durationMs <= MAX_MS) return durationMs;
  throw new UsageError(`${option} "${text}" is not a duration such as 45s, 90m, 24h, 30d or 52w`);
}
