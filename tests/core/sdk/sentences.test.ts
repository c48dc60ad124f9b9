import { describe, expect, test } from "bun:test";
import { splitSentences } from "switchyard/sdk";

describe("splitSentences", () => {
  test("leaves a text that fits as it is, without the space around it", () => {
    expect(splitSentences("  One. Two.\n", 20)).toEqual(["One. Two."]);
  });

  test("gives nothing for a text of spaces", () => {
    expect(splitSentences(" \n\t ", 10)).toEqual([]);
  });

  test("puts as many whole sentences into a piece as fit", () => {
    const text = "The train waits. It is late! Is it? Nobody knows.";
    expect(splitSentences(text, 36)).toEqual([
      "The train waits. It is late! Is it?",
      "Nobody knows.",
    ]);
  });

  test("does not take the dot of a number for an end", () => {
    const pieces = splitSentences("It costs 3.50 today. The next train leaves at 9.15 sharp.", 30);
    expect(pieces[0]).toBe("It costs 3.50 today.");
  });

  test("cuts a sentence that is too long between its words", () => {
    const sentence = Array.from({ length: 40 }, (_, index) => `word${index}`).join(" ");
    const pieces = splitSentences(sentence, 50);
    expect(pieces.length).toBeGreaterThan(4);
    expect(pieces.every((piece) => piece.length <= 50)).toBe(true);
    expect(pieces.join(" ")).toBe(sentence);
  });

  test("leaves commas and quotes at their words", () => {
    const pieces = splitSentences('He said, "wait, please, for me, here, now" and left', 12);
    expect(pieces).toEqual(["He said,", '"wait,', "please, for", "me, here,", 'now" and', "left"]);
  });

  test("cuts a word only when it is longer than a piece may be", () => {
    expect(splitSentences(`short ${"x".repeat(25)} end`, 10).every((it) => it.length <= 10)).toBe(
      true,
    );
    expect(splitSentences("x".repeat(25), 10)).toEqual(["x".repeat(10), "x".repeat(10), "xxxxx"]);
  });

  test("never cuts through a character", () => {
    const family = "👩‍👩‍👧‍👦";
    const pieces = splitSentences(family.repeat(5), 12);
    expect(pieces).toEqual([family, family, family, family, family]);
    expect(splitSentences("🚂".repeat(5), 3).every((piece) => piece.isWellFormed())).toBe(true);
  });

  test("finds the ends of sentences that have no spaces between them", () => {
    expect(splitSentences("列车在等。它晚点了。没人知道。", 6, "zh-CN")).toEqual([
      "列车在等。",
      "它晚点了。",
      "没人知道。",
    ]);
  });

  test("takes a tag that is none for no tag", () => {
    expect(splitSentences("One here. Two there.", 12, "not_a_tag!")).toEqual([
      "One here.",
      "Two there.",
    ]);
  });

  test("loses no word of a long text", () => {
    const text = Array.from(
      { length: 900 },
      (_, index) => `Sentence ${index} says a little, and stops.`,
    ).join(" ");
    const pieces = splitSentences(text, 2_000);
    expect(pieces.every((piece) => piece.length <= 2_000)).toBe(true);
    expect(pieces.join(" ")).toBe(text);
    expect(pieces.every((piece) => piece.endsWith("."))).toBe(true);
  });
});
