/** Range, If-Range and If-None-Match, against a naive model. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decideRange, isUnchanged, mayResume } from "../../../core/artifacts/ranges.ts";

const version = { etag: '"abc"', modifiedAtMs: Date.UTC(2026, 10, 23, 3, 52, 0, 777) };
const DATE = "Mon, 23 Nov 2026 03:52:00 GMT";
const headers = (fields: Record<string, string>) => new Headers(fields);

/** The offsets that a client means, counted out one by one. */
function offsets(sizeBytes: number, keep: (offset: number) => boolean): number[] {
  return Array.from({ length: sizeBytes }, (_, offset) => offset).filter(keep);
}

function chosen(header: string, sizeBytes: number): number[] | "whole" | "unsatisfiable" {
  const decision = decideRange(header, sizeBytes);
  if (decision.kind !== "part") return decision.kind;
  const { first, last } = decision.range;
  return offsets(sizeBytes + 5, (offset) => offset >= first && offset <= last);
}

describe("Range", () => {
  const size = fc.integer({ min: 1, max: 300 });
  const offset = fc.integer({ min: 0, max: 400 });

  test("first-last is exactly the bytes that exist between them", () => {
    fc.assert(
      fc.property(size, offset, offset, (sizeBytes, first, last) => {
        const wanted = offsets(sizeBytes, (at) => at >= first && at <= last);
        const expected = last < first ? "whole" : wanted.length > 0 ? wanted : "unsatisfiable";
        expect(chosen(`bytes=${first}-${last}`, sizeBytes)).toEqual(expected);
      }),
    );
  });

  test("first- is the rest", () => {
    fc.assert(
      fc.property(size, offset, (sizeBytes, first) => {
        const wanted = offsets(sizeBytes, (at) => at >= first);
        const expected = wanted.length > 0 ? wanted : "unsatisfiable";
        expect(chosen(`bytes=${first}-`, sizeBytes)).toEqual(expected);
      }),
    );
  });

  test("-n is the last n bytes, or all when there are fewer", () => {
    fc.assert(
      fc.property(size, offset, (sizeBytes, count) => {
        const wanted = offsets(sizeBytes, (at) => at >= sizeBytes - count);
        const expected = wanted.length > 0 ? wanted : "unsatisfiable";
        expect(chosen(`bytes=-${count}`, sizeBytes)).toEqual(expected);
      }),
    );
  });

  test("whatever the header says, a part lies inside the file", () => {
    const anything = fc.oneof(
      fc.string(),
      fc.string().map((text) => `bytes=${text}`),
      fc.stringMatching(/^bytes=[-0-9, ]*$/),
    );
    fc.assert(
      fc.property(anything, fc.integer({ min: 1, max: 2 ** 40 }), (header, sizeBytes) => {
        const decision = decideRange(header, sizeBytes);
        if (decision.kind !== "part") return;
        const { first, last } = decision.range;
        expect(Number.isSafeInteger(first) && Number.isSafeInteger(last)).toBe(true);
        expect(first >= 0 && first <= last && last < sizeBytes).toBe(true);
      }),
    );
  });

  test.each([
    [null, "whole"],
    ["", "whole"],
    ["bytes=", "whole"],
    ["bytes=-", "whole"],
    ["bytes=a-b", "whole"],
    ["bytes=0-1,4-5", "whole"],
    ["items=0-1", "whole"],
    ["bytes=1.5-3", "whole"],
    ["bytes=0x0-5", "whole"],
    ["bytes=-0", "unsatisfiable"],
    ["bytes=100-", "unsatisfiable"],
    ["bytes=99999999999999999999999-", "unsatisfiable"],
    ["bytes=0-99999999999999999999999", "part"],
    ["bytes=-99999999999999999999999", "part"],
    ["Bytes=0-0", "part"],
    [" bytes = 0 - 0 ", "part"],
  ] as const)("%p of 100 bytes is %s", (header, kind) => {
    expect(decideRange(header, 100).kind).toBe(kind);
  });
});

describe("conditions", () => {
  test.each([
    [{}, false],
    [{ "if-none-match": '"abc"' }, true],
    [{ "if-none-match": 'W/"abc"' }, true],
    [{ "if-none-match": '"x", "abc"' }, true],
    [{ "if-none-match": "*" }, true],
    [{ "if-none-match": '"abcd"' }, false],
    [{ "if-none-match": "abc" }, false],
    [{ "if-modified-since": DATE }, true],
    [{ "if-modified-since": "Mon, 23 Nov 2026 03:51:59 GMT" }, false],
    [{ "if-modified-since": "yesterday" }, false],
    // The tag counts more than the date.
    [{ "if-none-match": '"x"', "if-modified-since": DATE }, false],
  ])("%p is unchanged: %p", (fields, expected) => {
    expect(isUnchanged(headers(fields as Record<string, string>), version)).toBe(expected);
  });

  test.each([
    [{}, true],
    [{ "if-range": '"abc"' }, true],
    [{ "if-range": 'W/"abc"' }, false],
    [{ "if-range": '"x"' }, false],
    [{ "if-range": DATE }, true],
    [{ "if-range": "Mon, 23 Nov 2026 03:52:01 GMT" }, false],
    [{ "if-range": "soon" }, false],
  ])("%p resumes: %p", (fields, expected) => {
    expect(mayResume(headers(fields as Record<string, string>), version)).toBe(expected);
  });
});
