/**
 * What happens when the disk is full. Even a DELETE needs space, so a ballast file is kept that can
 * be given up: then finishing, cancelling and deleting still work, while new work is refused with
 * 503 until the ballast fits again.
 */
import { closeSync, existsSync, fsyncSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import { GatewayError } from "../errors.ts";

const MIB = 1024 * 1024;
const RECHECK_MS = 1_000;

export interface DiskSpace {
  /** Undefined, or the error for new work. */
  refusal(): GatewayError | undefined;
  /** Gives up the ballast; true when that freed something. */
  release(): boolean;
}

export function createDiskSpace(folder: string, ballastMiB: number, clock: Clock): DiskSpace {
  const path = join(folder, "ballast");
  let full = false;
  let checkedAtMs = 0;

  function lay(): boolean {
    if (ballastMiB === 0 || existsSync(path)) return true;
    try {
      const { bavail, bsize } = statfsSync(folder);
      // Twice the ballast, so that laying it does not fill the disk again.
      if (bavail * bsize < 2 * ballastMiB * MIB) return false;
      const file = openSync(path, "wx");
      try {
        const block = new Uint8Array(MIB);
        for (let written = 0; written < ballastMiB; written++) writeSync(file, block);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      return true;
    } catch {
      rmSync(path, { force: true });
      return false;
    }
  }

  lay();
  return {
    refusal() {
      if (full && clock.monotonicMs() - checkedAtMs > RECHECK_MS) {
        checkedAtMs = clock.monotonicMs();
        full = !lay();
      }
      if (!full) return undefined;
      return new GatewayError("STORAGE_FULL", "The disk that holds the data folder is full", {
        retryAfterMs: 5_000,
      });
    },
    release() {
      full = true;
      checkedAtMs = clock.monotonicMs();
      if (!existsSync(path)) return false;
      rmSync(path);
      return true;
    },
  };
}
