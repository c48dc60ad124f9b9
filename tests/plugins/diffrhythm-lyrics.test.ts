/** Lyrics with times, as DiffRhythm 1 needs them, and what is refused before there is a job. */
import { describe, expect, test } from "bun:test";
import { createTestContext } from "switchyard/sdk/testing";
import { toLrc } from "../../plugins/diffrhythm/lrc.ts";
import plugin from "../../plugins/diffrhythm/plugin.ts";
import { sungLines } from "../fakes/diffrhythm/lyrics.ts";

const capability = plugin.capabilities["music.generate"];
const settings = (variant: string) => createTestContext(plugin, undefined, { variant }).config;
const problem = (input: Record<string, unknown>, variant = "auto") =>
  capability.check?.({ prompt: "folk", ...input }, settings(variant));
const texts = (lrc: string, seconds: number) => sungLines(lrc, seconds).map(([, text]) => text);
const times = (lrc: string, seconds: number) => sungLines(lrc, seconds).map(([time]) => time);

describe("plain lyrics", () => {
  const lyrics = Array.from({ length: 12 }, (_, line) => `line number ${line}`).join("\n");

  test.each([95, 96, 180, 285])(
    "are all sung in %d seconds, evenly, from the intro on",
    (seconds) => {
      const lrc = toLrc(lyrics, seconds);
      const sung = texts(lrc, seconds).filter((text) => text !== "end");
      expect(sung).toEqual(lyrics.split("\n"));
      const at = times(lrc, seconds).slice(0, 12);
      expect(at[0]).toBeGreaterThan(4);
      const steps = at.slice(1).map((time, place) => time - (at[place] ?? 0));
      expect(Math.max(...steps) - Math.min(...steps)).toBeLessThan(0.02);
      expect((at.at(-1) ?? 0) + (steps[0] ?? 0)).toBeLessThan(seconds);
    },
  );

  test("every line has the ten columns that are read, whatever stands in it", () => {
    const odd = toLrc("a\r\nb\u0000c\n  d ] [x\n日本語の歌詞\n00:10 not a time", 95);
    for (const line of odd.split("\n")) expect(line).toMatch(/^\[\d\d:\d\d\.\d\d\]\S/);
    expect(texts(odd, 95)).toEqual(["a", "b c", "d ] [x", "日本語の歌詞", "00:10 not a time"]);
  });

  test("labels are not sung; they and empty lines leave a gap, several no more than one", () => {
    const lrc = toLrc("[verse]\nfirst\n\n\n[chorus]\nsecond\nthird\n[outro]", 95);
    expect(texts(lrc, 95)).toEqual(["first", "second", "third"]);
    const [a = 0, b = 0, c = 0] = times(lrc, 95);
    expect((b - a) / (c - b)).toBeCloseTo(2, 1);
  });

  test("nothing to sing gives nothing, not even the line at the end", () => {
    for (const none of [undefined, "", " \n\t\n", "[intro]\n[solo]"])
      expect(toLrc(none, 95)).toBe("");
  });
});

describe("lyrics with times", () => {
  test("keep them, in the columns that are read", () => {
    const lrc = toLrc("[0:05.5]a\n[00:10.123]b\n[1:02]c\n[00:20:30]d", 95);
    expect(lrc.split("\n")).toEqual([
      "[00:05.50]a",
      "[00:10.12]b",
      "[00:20.30]d",
      "[01:02.00]c",
      "[01:34.99]end",
    ]);
  });

  test("a line with several times is sung at each; tags of the file are dropped", () => {
    const lrc = toLrc(
      "[ti:A song]\n[ar:Somebody]\n[00:10.00][01:00.00]refrain\n[00:30.00]verse",
      120,
    );
    expect(sungLines(lrc, 120).slice(0, 3)).toEqual([
      [10, "refrain"],
      [30, "verse"],
      [60, "refrain"],
    ]);
  });

  test("a line at or after the end is refused, with the line in question", () => {
    expect(problem({ lyrics: "[00:10.00]a\n[01:35.00]too late", duration_seconds: 95 })).toContain(
      "too late",
    );
    expect(
      problem({ lyrics: "[00:10.00]a\n[01:35.00]in time", duration_seconds: 120 }),
    ).toBeUndefined();
    expect(problem({ lyrics: "[01:40.00]x" })).toContain("95 s");
  });

  test("times on some of the lines are refused", () => {
    expect(problem({ lyrics: "[00:10.00]a\nwithout" })).toContain("without");
    expect(problem({ lyrics: "[verse]\n[00:10.00]a\n\n[00:12.00]b" })).toBeUndefined();
  });
});

describe("before there is a job", () => {
  test("lyrics that the length has no room for are refused, not cut", () => {
    const long = Array.from({ length: 100 }, () => "a line of about thirty letters").join("\n");
    expect(problem({ lyrics: long, duration_seconds: 95 })).toContain("do not fit");
    expect(problem({ lyrics: long, duration_seconds: 285 })).toBeUndefined();
    expect(problem({ lyrics: "歌".repeat(1_000), duration_seconds: 95 })).toContain("do not fit");
  });

  test("lengths are 95 to 285 seconds, with DiffRhythm 2 10 to 210", () => {
    expect(problem({ duration_seconds: 60 })).toContain("95 to 285");
    expect(problem({ duration_seconds: 285 })).toBeUndefined();
    expect(problem({ duration_seconds: 60 }, "diffrhythm2")).toBeUndefined();
    expect(problem({ duration_seconds: 285 }, "diffrhythm2")).toContain("10 to 210");
    for (const variant of ["space", "web"]) {
      expect(problem({ duration_seconds: 120, init_audio: {} }, variant)).toContain(
        "95 and of 285",
      );
    }
  });

  test("the app of the Space needs a recording, and the reason is told", () => {
    expect(problem({}, "space")).toContain("cannot be reached over its API");
    expect(problem({ init_audio: { artifact_id: "x" } }, "space")).toBeUndefined();
  });

  test("a style without a word is refused", () => {
    expect(problem({ prompt: " \n " })).toContain("no words");
    expect(problem({ prompt: " ", style: "folk" })).toBeUndefined();
  });

  test("a field that a variant would drop is not taken", () => {
    const takes = (variant: string) => capability.takes?.(settings(variant)) ?? [];
    for (const variant of ["auto", "api", "webapi", "command"]) {
      expect(takes(variant)).not.toContain("seed");
      expect(takes(variant)).not.toContain("steps");
    }
    expect(takes("space")).toContain("seed");
    expect(takes("diffrhythm2")).toContain("cfg");
  });
});

describe("memory", () => {
  const cost = (variant: string, seconds: number, more = {}) =>
    capability.vram?.(
      { prompt: "x", duration_seconds: seconds },
      createTestContext(plugin, undefined, { variant, ...more }).config,
    );

  test("a command keeps nothing between two runs", () => {
    expect(cost("command", 95)).toMatchObject({ residentMiB: 0, model: "base" });
    expect(cost("api", 95)?.residentMiB).toBeGreaterThan(0);
  });

  test("285 seconds in one piece need more than a card of 24 GB has", () => {
    const { residentMiB = 0, workingMiB = 0 } = cost("space", 285) ?? {};
    expect(residentMiB + workingMiB).toBeGreaterThan(24 * 1024);
    const pieces = cost("webapi", 285);
    expect((pieces?.residentMiB ?? 0) + (pieces?.workingMiB ?? 0)).toBeLessThan(10 * 1024);
  });

  test("memory_mib is the whole of it, resident or not", () => {
    expect(cost("api", 95, { memory_mib: 3_000 })).toMatchObject({
      residentMiB: 3_000,
      workingMiB: 0,
    });
    expect(cost("command", 95, { memory_mib: 3_000 })).toMatchObject({
      residentMiB: 0,
      workingMiB: 3_000,
    });
  });
});
