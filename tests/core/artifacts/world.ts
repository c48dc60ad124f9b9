/** An artifact store on a temporary folder, with a clock that the test moves. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Artifacts,
  createArtifacts,
  type FoundFfmpeg,
  type PutRequest,
} from "../../../core/artifacts/mod.ts";
import { createIds } from "../../../core/ids.ts";
import type { Logger } from "../../../core/sdk/mod.ts";
import { type Database, openDatabase } from "../../../core/storage/mod.ts";

export interface World {
  readonly artifacts: Artifacts;
  database: Database;
  readonly folder: string;
  /** What was logged as an error. */
  readonly errors: string[];
  advance(ms: number): void;
  /** Stores with defaults for what the test does not care about. */
  put(
    request: Partial<PutRequest> & { name?: string; mediaType?: string },
  ): ReturnType<Artifacts["put"]>;
  /** The same folder after the end of the process. */
  restart(): Promise<Artifacts>;
  close(): Promise<void>;
}

export const RETENTION_MS = 24 * 60 * 60 * 1000;
export const MAX_BYTES = 16_000_000;

export async function makeWorld(retentionMs = RETENTION_MS, ffmpeg?: FoundFfmpeg): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), "switchyard-artifacts-"));
  let shiftMs = 0;
  const clock = { nowMs: () => Date.now() + shiftMs, monotonicMs: () => performance.now() };
  const errors: string[] = [];
  const log: Logger = {
    debug() {},
    info() {},
    warn() {},
    error: (message) => void errors.push(message),
  };
  const open = () => openDatabase({ folder, ballastMiB: 0, clock, onFsyncFailure() {} });
  const settings = { retentionMs, maxBytes: MAX_BYTES };
  const over = (database: Database) =>
    createArtifacts({ database, folder, clock, ids: createIds(), log, settings, ffmpeg });
  const database = open();
  const artifacts = over(database);
  const world: World = {
    artifacts,
    database,
    folder,
    errors,
    advance(ms) {
      shiftMs += ms;
    },
    put: ({ name = "file", mediaType, ...request }) =>
      artifacts.put({
        jobId: "job-1",
        keyId: "key-1",
        body: new Uint8Array([1, 2, 3]),
        options: mediaType ? { name, mediaType } : { name },
        signal: new AbortController().signal,
        fence: () => true,
        ...request,
      }),
    async restart() {
      world.database.close();
      world.database = open();
      return over(world.database);
    },
    async close() {
      await artifacts.close();
      world.database.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return world;
}
