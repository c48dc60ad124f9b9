/** How often a key may ask: a token bucket per key, and the headers that tell a client about it. */
import type { Clock } from "../clock.ts";

export interface RateVerdict {
  /** 0: go ahead. Otherwise the milliseconds until the next request is allowed. */
  readonly waitMs: number;
  /** `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers); empty: no limit. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface RateLimiter {
  /** Spends one request of this bucket; its size is what a minute allows, 0 means unlimited. */
  take(bucketId: string, requestsPerMinute: number): RateVerdict;
}

interface Bucket {
  tokens: number;
  filledAtMs: number;
}

const MINUTE_MS = 60_000;
const UNLIMITED: RateVerdict = { waitMs: 0, headers: {} };

export function createRateLimiter(clock: Clock, maxBuckets = 10_000): RateLimiter {
  const buckets = new Map<string, Bucket>();

  /** A bucket that was left alone for a minute is full again, so forgetting it changes nothing. */
  function makeRoom(nowMs: number): void {
    for (const [id, bucket] of buckets) {
      if (nowMs - bucket.filledAtMs >= MINUTE_MS) buckets.delete(id);
    }
    for (const id of buckets.keys()) {
      if (buckets.size < maxBuckets) return;
      buckets.delete(id);
    }
  }

  function bucketOf(id: string, size: number, nowMs: number): Bucket {
    const known = buckets.get(id);
    if (known) {
      const refill = ((nowMs - known.filledAtMs) / MINUTE_MS) * size;
      known.tokens = Math.min(size, known.tokens + refill);
      known.filledAtMs = nowMs;
      return known;
    }
    if (buckets.size >= maxBuckets) makeRoom(nowMs);
    const bucket = { tokens: size, filledAtMs: nowMs };
    buckets.set(id, bucket);
    return bucket;
  }

  return {
    take(bucketId, requestsPerMinute) {
      if (requestsPerMinute === 0) return UNLIMITED;
      const bucket = bucketOf(bucketId, requestsPerMinute, clock.monotonicMs());
      const perTokenMs = MINUTE_MS / requestsPerMinute;
      const waitMs = bucket.tokens >= 1 ? 0 : (1 - bucket.tokens) * perTokenMs;
      if (waitMs === 0) bucket.tokens -= 1;
      const remaining = Math.floor(bucket.tokens);
      const fullInSeconds = Math.ceil(((requestsPerMinute - bucket.tokens) * perTokenMs) / 1000);
      return {
        waitMs,
        headers: {
          "RateLimit-Policy": `"burst";q=${requestsPerMinute};w=60`,
          RateLimit: `"burst";r=${remaining};t=${fullInSeconds}`,
        },
      };
    },
  };
}
