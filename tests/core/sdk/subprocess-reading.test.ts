/** What is read out of a program's log and folder: how far it is, which files are its outputs. */
import { describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withoutPrivate } from "../../../core/sdk/subprocess/ending.ts";
import { tailLog } from "../../../core/sdk/subprocess/log-tail.ts";
import { globToRegExp } from "../../../core/sdk/subprocess/outputs.ts";
import { createProgress } from "../../../core/sdk/subprocess/progress.ts";
import type { ProgressRule } from "../../../core/sdk/subprocess/types.ts";

const fractions = (rules: readonly ProgressRule[] | undefined, lines: readonly string[]) => {
  const progress = createProgress(rules);
  return lines.map((line) => progress.line(line)?.fraction);
};
const bar = (title: string, done: number, total: number) =>
  `${title} ${Math.round((100 * done) / total)}%|██   | ${done}/${total} [00:01<00:02, 2.0it/s]`;

describe("progress", () => {
  test("is that of tqdm's bars, unless they load or download", () => {
    expect(
      fractions(undefined, [
        bar("Loading checkpoint shards:", 4, 4),
        bar("Fetching 12 files:", 12, 12),
        "  0%|          | 0/10 [00:00<?, ?it/s]",
        bar("", 5, 10),
        "a line of text with 50% in it",
        bar("", 3, 10),
        bar("Sampling:", 10, 10),
      ]),
    ).toEqual([undefined, undefined, 0, 0.5, undefined, 0.5, 1]);
  });

  test("goes through stages by their weights, and never back", () => {
    const rules: ProgressRule[] = [
      { pattern: /Stage 1: (?<done>\d+) of (?<total>\d+)/, stage: "one", weight: 3 },
      { pattern: "tqdm", after: /^Stage 2/, stage: "two", weight: 1 },
    ];
    const progress = createProgress(rules);
    const read = (line: string) => progress.line(line);
    expect(read(bar("early", 9, 10))).toBeUndefined();
    expect(read("Stage 1: 1 of 3")).toEqual({ fraction: 0.25, stage: "one" });
    expect(read("Stage 1: 0 of 3")).toEqual({ fraction: 0.25, stage: "one" });
    expect(read("Stage 2 begins")).toEqual({ fraction: 0.75, stage: "two" });
    expect(read(bar("", 1, 2))).toEqual({ fraction: 0.875, stage: "two" });
    expect(read("Stage 1: 3 of 3")).toBeUndefined();
  });

  test("counts bars that come one after the other", () => {
    expect(
      fractions(
        [{ pattern: "tqdm", bars: 2 }],
        [bar("", 1, 2), bar("", 2, 2), bar("", 1, 2), bar("", 2, 2)],
      ),
    ).toEqual([0.25, 0.5, 0.75, 1]);
  });

  test("takes a percentage, a line that only begins a stage, and no nonsense", () => {
    const rules: ProgressRule[] = [
      { pattern: /progress=(?<percent>[\d.]+)/ },
      { pattern: /^decoding/g, stage: "decoding", weight: 1 },
    ];
    expect(fractions(rules, ["progress=150", "progress=x", "decoding", "decoding"])).toEqual([
      0.5,
      undefined,
      0.5,
      0.5,
    ]);
    expect(fractions([{ pattern: /(?<done>\d+)\/(?<total>\d+)/ }], ["1/0", "9/3"])).toEqual([
      undefined,
      1,
    ]);
  });
});

describe("a log", () => {
  test("is read in lines that end with \\n or \\r, also when they are written in pieces", () => {
    const folder = mkdtempSync(join(tmpdir(), "switchyard-log-"));
    const path = join(folder, "run.log");
    const lines: string[] = [];
    const take = (line: string) => void lines.push(line);
    try {
      const tail = tailLog(path);
      expect(tail.read(take)).toBe(false);
      writeFileSync(path, "one\r\ntwo\r\u001b[32m thr");
      expect(tail.read(take)).toBe(true);
      expect(lines).toEqual(["one", "two"]);
      // Nothing more came: it may be a bar, which has no end until the next one.
      expect(tail.read(take)).toBe(false);
      expect(tail.read(take)).toBe(false);
      expect(lines).toEqual(["one", "two", "thr"]);
      const euro = Buffer.from("€");
      appendFileSync(path, Buffer.concat([Buffer.from("ee "), euro.subarray(0, 1)]));
      tail.read(take);
      appendFileSync(path, Buffer.concat([euro.subarray(1), Buffer.from(" last")]));
      tail.read(take);
      tail.finish(take);
      expect(lines.at(-1)).toBe(" three € last");
      expect(tail.last).toEqual(["one", "two", " three € last"]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("a glob", () => {
  test.each<[string, string, boolean]>([
    ["*.wav", "a.wav", true],
    ["*.wav", "parts/a.wav", false],
    ["**/*.wav", "parts/deep/a.wav", true],
    ["**/*.wav", "a.wav", true],
    ["*_mixed.{mp3,wav}", "x_mixed.mp3", true],
    ["*_mixed.{mp3,wav}", "x_mixed.flac", false],
    ["take_?.wav", "take_1.wav", true],
    ["take.wav", "takeXwav", false],
    ["a+(b)[c].wav", "a+(b)[c].wav", true],
    ["*", "two\nlines.wav", true],
  ])("%s and %j", (glob, name, fits) => {
    expect(globToRegExp(glob).test(name)).toBe(fits);
  });
});

describe("a line of a program's log", () => {
  test.each([
    ['File "/opt/my tool/venv/run.py", line 3', 'File "my tool/venv/run.py", line 3'],
    ["no such file: ~/models/x.pt", "no such file: x.pt"],
    ["token hf_abcdefghijklmn was refused", "token [removed] was refused"],
    ["Authorization: Bearer abc.def", "Authorization: Bearer [removed]"],
    ["with key 0123456789", "with key [removed]"],
    ["3/4 steps at 1/s", "3/4 steps at 1/s"],
    ["see https://example.org/a/b", "see https://example.org/a/b"],
  ])("%j becomes %j", (line, shown) => {
    expect(withoutPrivate(line, { TOOL_KEY: "0123456789" })).toBe(shown);
  });
});
