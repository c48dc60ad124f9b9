import { describe, expect, test } from "bun:test";
import { generateKey, parseKey, renewKey } from "../../../core/auth/mod.ts";

describe("the text of a key", () => {
  test("has the documented form and reads back", () => {
    for (let round = 0; round < 1_000; round++) {
      const { id, secret, text } = generateKey();
      expect(text).toMatch(/^sy_[0-9A-Za-z]{8}_[0-9A-Za-z]{38}$/);
      expect(parseKey(text)).toEqual({ id, secret });
    }
  });

  test("ends with the CRC-32 of what comes before, in base62", () => {
    const { text } = generateKey((count) => new Uint8Array(count));
    expect(text.slice(0, 44)).toBe("sy_00000000_00000000000000000000000000000000");
    const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const value = [...text.slice(44)].reduce((sum, digit) => sum * 62 + alphabet.indexOf(digit), 0);
    expect(value).toBe(Bun.hash.crc32(text.slice(0, 44)));
  });

  test("is refused when any one character is another", () => {
    const { text } = generateKey();
    for (let at = 0; at < text.length; at++) {
      const other = text[at] === "x" ? "y" : "x";
      expect(parseKey(text.slice(0, at) + other + text.slice(at + 1))).toBeUndefined();
    }
  });

  test("uses every letter and digit equally often", () => {
    const counts = new Map<string, number>();
    const rounds = 5_000;
    for (let round = 0; round < rounds; round++) {
      for (const letter of generateKey().secret) counts.set(letter, (counts.get(letter) ?? 0) + 1);
    }
    expect(counts.size).toBe(62);
    // A byte modulo 62 without a fair cut would make eight letters 25 % more frequent.
    const expected = (rounds * 32) / 62;
    for (const seen of counts.values()) expect(Math.abs(seen / expected - 1)).toBeLessThan(0.12);
  });

  test("keeps its id and gets another secret when renewed", () => {
    const first = generateKey();
    const second = renewKey(first.id);
    expect(second.id).toBe(first.id);
    expect(second.secret).not.toBe(first.secret);
    expect(parseKey(second.text)?.id).toBe(first.id);
  });
});
