/** A seed for a request that names none. */
import { createHash } from "node:crypto";

/** What most programs take: a signed integer of 32 bits. */
const MAX_SEED = 0x7fff_ffff;

/**
 * From 0 to `max`, both included: by chance for the world, but the same in every attempt of a job,
 * so that work which is taken up after a crash, or made again, gives the same result. `of` is the
 * job's id, with more words where one job needs several.
 */
export function seedOf(of: string, max: number = MAX_SEED): number {
  const bits = createHash("sha256").update(of).digest().readBigUInt64BE();
  return Number(bits % (BigInt(max) + 1n));
}
