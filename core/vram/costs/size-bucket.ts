/**
 * Size buckets: requests whose sizes differ by less than a factor of two share what is learned.
 * The size is whatever the plugin says drives the cost, for example pixels times frames.
 */

/** 2^63 pixels, tokens or samples: nothing a request may ask for is larger. */
export const MAX_BUCKET = 63;

/** floor(log2(size)), between 0 and 63. 0 also for no size, for one below 2 and for nonsense. */
export function sizeBucket(size: number | undefined): number {
  if (size === undefined || !(size >= 2)) return 0;
  if (size >= 2 ** MAX_BUCKET) return MAX_BUCKET;
  // The logarithm is rounded: for 2^49 - 1 it says 49. Powers of two are exact.
  const rounded = Math.round(Math.log2(size));
  return 2 ** rounded > size ? rounded - 1 : rounded;
}
