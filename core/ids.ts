/** Identifiers as an argument. UUIDv7 (RFC 9562 section 5.7): sortable by creation, unguessable. */
import { randomBytes } from "node:crypto";

export interface Ids {
  /** Lower-case UUIDv7; strictly increasing within one process. */
  uuid(): string;
}

const POOL_BYTES = 4096;
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** 74 random bits per id, of which the 12 after the timestamp count up within a millisecond. */
export function createIds(nowMs: () => number = Date.now): Ids {
  let pool = randomBytes(POOL_BYTES);
  let used = 0;
  let lastMs = 0;
  let sequence = 0;

  function random(count: number): number {
    if (used + count > POOL_BYTES) {
      pool = randomBytes(POOL_BYTES);
      used = 0;
    }
    const start = used;
    used += count;
    return start;
  }

  return {
    uuid() {
      const now = nowMs();
      if (now > lastMs) {
        lastMs = now;
        sequence = pool.readUInt16BE(random(2)) & 0x7ff;
      } else if (++sequence > 0xfff) {
        lastMs += 1;
        sequence = 0;
      }
      const time = lastMs.toString(16).padStart(12, "0");
      const at = random(8);
      const byte = (index: number) => HEX[pool[at + index] ?? 0] ?? "00";
      const variant = HEX[0x80 | ((pool[at] ?? 0) & 0x3f)] ?? "80";
      const counter = sequence.toString(16).padStart(3, "0");
      return (
        `${time.slice(0, 8)}-${time.slice(8)}-7${counter}-${variant}${byte(1)}-` +
        `${byte(2)}${byte(3)}${byte(4)}${byte(5)}${byte(6)}${byte(7)}`
      );
    },
  };
}
