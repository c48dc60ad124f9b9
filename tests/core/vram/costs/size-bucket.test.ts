/** Which sizes learn together. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { sizeBucket } from "../../../../core/vram/costs/cost-book.ts";

test("no size, nonsense and sizes below two are in bucket 0", () => {
  for (const size of [undefined, Number.NaN, -5, 0, 0.5, 1, 1.99]) expect(sizeBucket(size)).toBe(0);
});

test("what is larger than any request is in the last bucket", () => {
  for (const size of [2 ** 63, 1e300, Number.POSITIVE_INFINITY]) expect(sizeBucket(size)).toBe(63);
});

test("a size lies between its bucket's power of two and the next one, also at the edges", () => {
  const edges = Array.from({ length: 62 }, (_, index) => 2 ** (index + 1)).flatMap((power) => [
    power,
    power - 1,
    power + 1,
    power * (1 - Number.EPSILON),
    power * (1 + Number.EPSILON),
  ]);
  const check = (size: number) => {
    const bucket = sizeBucket(size);
    expect(Number.isInteger(bucket)).toBe(true);
    expect(2 ** bucket <= size && size < 2 ** (bucket + 1)).toBe(true);
  };
  for (const size of edges.filter((edge) => edge >= 1)) check(size);
  fc.assert(fc.property(fc.double({ min: 1, max: 2 ** 62, noNaN: true }), check));
});
