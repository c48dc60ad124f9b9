import { describe, expect, test } from "bun:test";
import { editDistance, nearest } from "../../../core/sdk/nearest.ts";

describe("The nearest name", () => {
  test.each([
    ["devise", "device"],
    ["prot", "port"],
    ["timeoutMs", "timeout_ms"],
    ["TIMEOUT-MS", "timeout_ms"],
    ["warning", "warn"],
  ])("of %s is %s", (name, meant) => {
    expect(nearest(name, ["host", "port", "device", "timeout_ms", "warn"])).toBe(meant);
  });

  test("is none when nothing looks like it", () => {
    expect(nearest("banana", ["host", "port"])).toBeUndefined();
    expect(nearest("x", [])).toBeUndefined();
  });

  test("is the closest of several", () => {
    expect(nearest("gpu1", ["gpu10", "gpu1", "gpu0"])).toBe("gpu1");
  });
});

test("Distance counts inserted, removed, replaced and swapped letters", () => {
  expect(editDistance("", "abc")).toBe(3);
  expect(editDistance("kitten", "sitting")).toBe(3);
  expect(editDistance("ab", "ba")).toBe(1);
  expect(editDistance("same", "same")).toBe(0);
});
