/** How far a program is, read out of the lines it prints. Pure: lines in, a fraction out. */
import type { ProgressRule } from "./types.ts";

export interface Progress {
  /** Undefined when the line says nothing. */
  line(text: string): Reading | undefined;
}

export interface Reading {
  /** Of the whole, 0 to 1; undefined while only the stage is known. Never goes back. */
  readonly fraction: number | undefined;
  readonly stage: string | undefined;
}

/** tqdm draws "title: 40%|████      | 4/10 [00:01<00:02, 2.0it/s]". */
const TQDM = /(?<percent>\d{1,3})%\|[^|]*\|\s*(?<done>\d+)\/(?<total>\d+)/;
/** Its bars about weights are not about the work. */
const NOT_WORK = /load|fetch|download|shard|import|checkpoint/i;
const DEFAULT_RULES: readonly ProgressRule[] = [{ pattern: "tqdm" }];

export function createProgress(rules: readonly ProgressRule[] = DEFAULT_RULES): Progress {
  const weights = rules.map(({ weight = 1 }) => Math.max(0, weight));
  const whole = weights.reduce((sum, weight) => sum + weight, 0) || 1;
  const begun = (index: number) =>
    weights.slice(0, index).reduce((sum, weight) => sum + weight, 0) / whole;
  let stage = 0;
  let opened = -1;
  let bar = { index: -1, done: 0, ended: 0 };
  let fraction: number | undefined;

  function raise(value: number): void {
    fraction = Math.max(fraction ?? 0, Math.min(1, value));
  }

  function enter(index: number): void {
    if (index !== stage) bar = { index: -1, done: 0, ended: 0 };
    stage = index;
    if (index > 0) raise(begun(index));
  }

  /** The part of its stage, with the bars before this one. */
  function within(index: number, part: number): number {
    const { bars = 1 } = rules[index] ?? {};
    if (bars <= 1) return part;
    const begins = bar.index === index && part < bar.done;
    const ended = bar.index === index ? bar.ended + (begins ? 1 : 0) : 0;
    bar = { index, done: part, ended };
    return Math.min(1, (ended + part) / bars);
  }

  return {
    line(text) {
      for (let index = rules.length - 1; index > opened; index--) {
        if (!fits(rules[index]?.after, text)) continue;
        opened = index;
        if (index >= stage) enter(index);
        return { fraction, stage: rules[stage]?.stage };
      }
      for (let index = stage; index < rules.length; index++) {
        const rule = rules[index];
        if (!rule || (rule.after && index > opened)) continue;
        const part = partOf(rule, text);
        if (part === undefined) continue;
        enter(index);
        if (part !== "begins")
          raise(begun(index) + (within(index, part) * (weights[index] ?? 0)) / whole);
        return { fraction, stage: rule.stage };
      }
      return undefined;
    },
  };
}

function fits(pattern: RegExp | undefined, text: string): boolean {
  // Not `test`: a pattern with the flag g would remember where it was.
  return pattern !== undefined && text.search(pattern) >= 0;
}

function partOf({ pattern, title }: ProgressRule, text: string): number | "begins" | undefined {
  const isBar = pattern === "tqdm";
  const found = (
    isBar ? TQDM : new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ""))
  ).exec(text);
  if (!found) return undefined;
  const { done, total, percent } = found.groups ?? {};
  // Not within the pattern: it would try every place of a line of spaces.
  const words = text.slice(0, found.index).trimEnd().replace(/:$/, "");
  if (isBar && (title ? !fits(title, words) : NOT_WORK.test(words))) return undefined;
  if (done !== undefined && total !== undefined) {
    return Number(total) > 0 ? share(Number(done) / Number(total)) : undefined;
  }
  return percent === undefined ? "begins" : share(Number(percent) / 100);
}

function share(value: number): number | undefined {
  return Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : undefined;
}
