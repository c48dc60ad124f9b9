/** Names that a backend gave its files. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { disposition, sanitizeName } from "../../../core/artifacts/names.ts";

describe("a name for display", () => {
  test.each([
    ["picture.png", "picture.png"],
    ["../../etc/passwd", "passwd"],
    ["..\\..\\windows\\win.ini", "win.ini"],
    ["sub/folder/a.wav", "a.wav"],
    ["folder/", "folder"],
    [".htaccess", "htaccess"],
    ["...", "artifact"],
    ["", "artifact"],
    ["a\0b\r\nc\x7f.png", "abc.png"],
    // A mark that turns the direction shows "gnp.exe" as "exe.png".
    ["photo\u202egnp.exe", "photognp.exe"],
    ["наброс́ок ねこ.png", "наброс́ок ねこ.png"],
    ["cafe\u0301.png", "caf\u00e9.png"],
    ["broken\ud800.png", "broken.png"],
    ["trailing. . ", "trailing"],
    [`${"x".repeat(300)}.png`, `${"x".repeat(124)}.png`],
    ["😀".repeat(200), "😀".repeat(128)],
  ])("%j becomes %j", (name, expected) => {
    expect(sanitizeName(name)).toBe(expected);
  });

  test("whatever it was: 1 to 128 characters, no separator, no control, no leading dot", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 400 }), (name) => {
        const clean = sanitizeName(name);
        expect([...clean].length).toBeGreaterThan(0);
        expect([...clean].length).toBeLessThanOrEqual(128);
        expect(clean).not.toMatch(/[/\\\p{Cc}\p{Cs}]|^\./u);
      }),
    );
  });
});

describe("Content-Disposition", () => {
  test("carries the real name by RFC 8187 and an ASCII one for old clients", () => {
    expect(disposition("attachment", 'a "b"% ねこ.png')).toBe(
      "attachment; filename=\"a _b__ __.png\"; filename*=UTF-8''a%20%22b%22%25%20%E3%81%AD%E3%81%93.png",
    );
    expect(disposition("inline", "it's (1)*.wav")).toBe(
      "inline; filename=\"it's (1)*.wav\"; filename*=UTF-8''it%27s%20%281%29%2A.wav",
    );
  });

  test("any name gives a header that is valid and says the name", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (name) => {
        const clean = sanitizeName(name);
        const value = disposition("attachment", clean);
        expect(new Headers({ "content-disposition": value }).get("content-disposition")).toBe(
          value,
        );
        const [, encoded] = /filename\*=UTF-8''([A-Za-z0-9!#$&+.^_`|~%-]*)$/.exec(value) ?? [];
        expect(decodeURIComponent(encoded ?? "?")).toBe(clean);
      }),
    );
  });
});
