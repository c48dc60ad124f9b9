/**
 * Files that outlive the backend that made them, and files that came with a request. A new one is
 * inspected while it streams into the blob store, then gets its row; a removed one loses its row,
 * then its blob, when no other row has that. A crash in between leaves a blob without a row, which
 * `sweep` removes.
 */
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import { GatewayError } from "../errors.ts";
import type { Ids } from "../ids.ts";
import { fileBody } from "../runtime/mod.ts";
import type { AudioFormat } from "../sdk/formats.ts";
import type { ArtifactBody, ArtifactOptions } from "../sdk/job.ts";
import type { Logger } from "../sdk/plugin.ts";
import type { Database } from "../storage/mod.ts";
import { type BlobBody, type BlobStore, type ByteRange, isBlobId } from "./blobs.ts";
import { createConverter, renamed } from "./convert.ts";
import type { Ffmpeg } from "./ffmpeg.ts";
import { createFsBlobs } from "./fs-blobs.ts";
import { createInputs, type Inputs } from "./inputs.ts";
import { createInspector } from "./inspect.ts";
import { inspected, openBody } from "./inspected.ts";
import type { Measures } from "./measure.ts";
import { createMediaReader } from "./media.ts";
import { sanitizeName } from "./names.ts";
import { type ArtifactRow, createArtifactStore } from "./store.ts";
import { fromRow, type StoredArtifact } from "./stored.ts";

export interface PutRequest {
  readonly jobId: string;
  readonly keyId: string;
  readonly body: ArtifactBody;
  readonly options: ArtifactOptions;
  readonly signal: AbortSignal;
  /** Asked in the transaction that makes the artifact visible; false when the attempt is stale. */
  readonly fence: () => boolean;
  /** Sounds are stored in this format, whatever the backend made. */
  readonly format?: AudioFormat;
  /** Called when a sound has to be made into that format. */
  readonly converting?: () => void;
}

export interface Swept {
  readonly expired: number;
  /** Blobs without a row. */
  readonly orphans: number;
  /** Leftovers of writes that never ended. */
  readonly partial: number;
}

export interface Artifacts {
  /**
   * Errors: BackendError BACKEND_BAD_OUTPUT (empty, too large, cut short, text for a picture, a
   * sound that cannot be converted) or BACKEND_LOST (the stream broke); GatewayError STORAGE_FULL,
   * STORAGE_FAILED, STALLED or INTERNAL (the conversion), or CANCELLED for a stale attempt; the
   * signal's reason.
   */
  put(request: PutRequest): Promise<StoredArtifact>;
  /** Undefined when it is unknown or expired. */
  get(id: string): StoredArtifact | undefined;
  /** Oldest first. */
  ofJob(jobId: string): StoredArtifact[];
  /** Undefined when the blob is gone or damaged although its row is there. */
  read(artifact: StoredArtifact, range?: ByteRange): Promise<BlobBody | undefined>;
  remove(id: string): Promise<void>;
  removeOfJob(jobId: string): Promise<void>;
  readonly inputs: Inputs;
  /** To be called every few minutes. */
  sweep(): Promise<Swept>;
  /** Ends what it started itself. */
  close(): Promise<void>;
}

export interface ArtifactsOptions {
  readonly database: Database;
  /** The data folder; the files lie in `artifacts/` inside it. */
  readonly folder: string;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  readonly settings: {
    /** 0 keeps an artifact until its job is removed. */
    readonly retentionMs: number;
    readonly maxBytes: number;
  };
  /** Local files unless said. */
  readonly blobs?: BlobStore;
  /** Without it no output is converted. */
  readonly ffmpeg?: Ffmpeg;
}

interface KeptFile {
  readonly stream: ReadableStream<Uint8Array>;
  readonly declared?: string;
  readonly name: string;
  /** The format that it was made from. */
  readonly madeFrom?: string;
}

const SWEEP_BATCH = 200;
/** A blob younger than this may still get its row. */
const ORPHAN_AGE_MS = 60 * 60 * 1000;

export function createArtifacts(options: ArtifactsOptions): Artifacts {
  const { database, clock, ids, log, settings } = options;
  const blobs =
    options.blobs ?? createFsBlobs({ folder: join(options.folder, "artifacts"), fileBody });
  const store = createArtifactStore(database);
  const { ffmpeg } = options;
  const converter =
    ffmpeg &&
    createConverter({
      folder: join(options.folder, "conversion"),
      ffmpeg,
      ids,
      maxBytes: settings.maxBytes,
    });
  const media = createMediaReader({ monotonicMs: clock.monotonicMs });

  async function read({ id, blobId, sizeBytes }: StoredArtifact, range?: ByteRange) {
    const found = await blobs.read(blobId, range);
    if (found?.sizeBytes === sizeBytes) return found;
    const actual = found?.sizeBytes ?? 0;
    log.error("an artifact's file is missing or damaged", { artifact: id, sizeBytes, actual });
    return undefined;
  }

  function get(id: string): StoredArtifact | undefined {
    const row = isBlobId(id) ? store.get(id) : undefined;
    const isLate = row?.expiresAt != null && row.expiresAt <= clock.nowMs();
    return row && !(isLate && !store.isHeld(row)) ? fromRow(row) : undefined;
  }

  const expiryOf = (createdAt: number): number | null =>
    settings.retentionMs > 0 ? createdAt + settings.retentionMs : null;

  const { maxBytes } = settings;
  const inputs = createInputs({ store, blobs, clock, ids, log, maxBytes, get, read, expiryOf });

  async function removeAll(removed: readonly string[]): Promise<void> {
    if (removed.length === 0) return;
    for (const blobId of await store.remove(removed)) await blobs.remove(blobId);
  }

  async function sweepExpired(): Promise<number> {
    for (let count = 0; ; ) {
      const batch = store.expired(clock.nowMs(), SWEEP_BATCH);
      await removeAll(batch);
      count += batch.length;
      if (batch.length < SWEEP_BATCH) return count;
    }
  }

  async function sweepOrphans(beforeMs: number): Promise<number> {
    let count = 0;
    let batch: string[] = [];
    const removeOrphans = async () => {
      const known = store.known(batch);
      const orphans = batch.filter((id) => !known.has(id) && !inputs.isComing(id));
      for (const id of orphans) await blobs.remove(id);
      count += orphans.length;
      batch = [];
    };
    for await (const { id, modifiedAtMs } of blobs.list()) {
      if (modifiedAtMs >= beforeMs) continue;
      batch.push(id);
      if (batch.length === SWEEP_BATCH) await removeOrphans();
    }
    await removeOrphans();
    return count;
  }

  /** Stores the file as it comes, with its row. */
  async function keep(request: PutRequest, file: KeptFile): Promise<StoredArtifact> {
    const { jobId, keyId, options: wanted, signal, fence } = request;
    const id = ids.uuid();
    const seen = inspected(file.stream, createInspector(file.declared));
    const written = await blobs.write(id, seen.stream, { maxBytes, signal });
    try {
      const { mediaType, measures } = seen.findings();
      const more = await measuresOf(id, mediaType, written.sizeBytes);
      const createdAt = clock.nowMs();
      const row: ArtifactRow = {
        id,
        jobId,
        keyId,
        name: sanitizeName(file.name),
        mediaType,
        ...written,
        // What the file itself says is true; what was asked for stands in the job's input.
        metadata: {
          ...wanted.metadata,
          ...measures,
          ...more,
          ...(file.madeFrom ? { converted_from: file.madeFrom } : {}),
        },
        createdAt,
        expiresAt: expiryOf(createdAt),
        role: wanted.role ?? "output",
        blobId: id,
      };
      if (!(await store.insert(row, fence))) throw stale(jobId);
      return fromRow(row);
    } catch (error) {
      await blobs.remove(id).catch((cause) => {
        log.warn("a discarded file stays until the next sweep", { artifact: id, cause });
      });
      throw error;
    }
  }

  function measuresOf(blobId: string, mediaType: string, sizeBytes: number): Promise<Measures> {
    return media.measure({
      mediaType,
      sizeBytes,
      async read(first, end) {
        const found = await blobs.read(blobId, { first, last: end - 1 });
        if (!found) throw new Error("the file is gone");
        return new Uint8Array(await new Response(found.body as BodyInit).arrayBuffer());
      },
    });
  }

  return {
    async put(request) {
      const { jobId, body, options: wanted, signal, fence, format, converting } = request;
      const opened = openBody(body);
      const { stream } = opened;
      if (signal.aborted || !fence()) {
        stream.cancel().catch(() => {});
        signal.throwIfAborted();
        throw stale(jobId);
      }
      const declared = wanted.mediaType ?? opened.declared;
      if (!format || !converter || wanted.role === "preview") {
        return keep(request, { stream, declared, name: wanted.name });
      }
      return converter.convert({ format, stream, declared, signal, converting }, (ready) =>
        keep(request, {
          stream: ready.stream,
          declared: ready.madeFrom ? ready.mediaType : declared,
          name: ready.madeFrom ? renamed(wanted.name, format) : wanted.name,
          madeFrom: ready.madeFrom,
        }),
      );
    },

    get,
    ofJob: (jobId) => store.ofJob(jobId).map(fromRow),
    read,
    inputs,
    remove: (id) => removeAll([id]),
    removeOfJob: (jobId) => removeAll(store.ofJob(jobId).map(({ id }) => id)),

    async sweep() {
      const beforeMs = clock.nowMs() - ORPHAN_AGE_MS;
      return {
        expired: await sweepExpired(),
        orphans: await sweepOrphans(beforeMs),
        partial: await blobs.removePartial(beforeMs),
      };
    },
    close: () => media.close(),
  };
}

function stale(jobId: string): GatewayError {
  return new GatewayError("CANCELLED", `The attempt at job ${jobId} is over; its file was dropped`);
}
