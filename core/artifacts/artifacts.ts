/**
 * Outputs that outlive the backend that made them. A new one is inspected while it streams into
 * the blob store, then gets its row; a removed one loses its row, then its blob. A crash in
 * between leaves a blob without a row, which `sweep` removes.
 */
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import { GatewayError } from "../errors.ts";
import type { Ids } from "../ids.ts";
import { fileBody } from "../runtime/mod.ts";
import { BackendError } from "../sdk/errors.ts";
import type { Artifact, ArtifactBody, ArtifactOptions } from "../sdk/job.ts";
import type { Logger } from "../sdk/plugin.ts";
import type { Database } from "../storage/mod.ts";
import { type BlobBody, type BlobStore, type ByteRange, isBlobId } from "./blobs.ts";
import { createFsBlobs } from "./fs-blobs.ts";
import { createInspector, type Findings, type Inspector } from "./inspect.ts";
import { sanitizeName } from "./names.ts";
import { type ArtifactRow, createArtifactStore } from "./store.ts";

export interface StoredArtifact extends Artifact {
  readonly jobId: string;
  /** Public id of the key that owns it. */
  readonly keyId: string;
  /** Wall-clock milliseconds. */
  readonly createdAtMs: number;
  /** Undefined: kept until its job is removed. */
  readonly expiresAtMs?: number;
}

export interface PutRequest {
  readonly jobId: string;
  readonly keyId: string;
  readonly body: ArtifactBody;
  readonly options: ArtifactOptions;
  readonly signal: AbortSignal;
  /** Asked in the transaction that makes the artifact visible; false when the attempt is stale. */
  readonly fence: () => boolean;
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
   * Errors: BackendError BACKEND_BAD_OUTPUT (empty, too large, cut short, text for a picture) or
   * BACKEND_LOST (the stream broke); GatewayError STORAGE_FULL, STORAGE_FAILED, or CANCELLED for
   * a stale attempt; the signal's reason.
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
  /** To be called every few minutes. */
  sweep(): Promise<Swept>;
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
}

const SWEEP_BATCH = 200;
/** A blob younger than this may still get its row. */
const ORPHAN_AGE_MS = 60 * 60 * 1000;

export function createArtifacts(options: ArtifactsOptions): Artifacts {
  const { database, clock, ids, log, settings } = options;
  const blobs =
    options.blobs ?? createFsBlobs({ folder: join(options.folder, "artifacts"), fileBody });
  const store = createArtifactStore(database);

  async function removeAll(removed: readonly string[]): Promise<void> {
    if (removed.length === 0) return;
    await store.remove(removed);
    for (const id of removed) await blobs.remove(id);
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
      const orphans = batch.filter((id) => !known.has(id));
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

  return {
    async put({ jobId, keyId, body, options: wanted, signal, fence }) {
      const { stream, declared } = open(body);
      if (signal.aborted || !fence()) {
        stream.cancel().catch(() => {});
        signal.throwIfAborted();
        throw stale(jobId);
      }
      const id = ids.uuid();
      const inspector = createInspector(wanted.mediaType ?? declared);
      const inspected = inspect(stream, inspector);
      const { maxBytes, retentionMs } = settings;
      const written = await blobs.write(id, inspected.stream, { maxBytes, signal });
      try {
        const { mediaType, measures } = inspected.findings();
        const createdAt = clock.nowMs();
        const row: ArtifactRow = {
          id,
          jobId,
          keyId,
          name: sanitizeName(wanted.name),
          mediaType,
          ...written,
          metadata: { ...measures, ...wanted.metadata },
          createdAt,
          expiresAt: retentionMs > 0 ? createdAt + retentionMs : null,
        };
        if (!(await store.insert(row, fence))) throw stale(jobId);
        return fromRow(row);
      } catch (error) {
        await blobs.remove(id).catch((cause) => {
          log.warn("a discarded file stays until the next sweep", { artifact: id, cause });
        });
        throw error;
      }
    },

    get(id) {
      const row = isBlobId(id) ? store.get(id) : undefined;
      if (!row || (row.expiresAt !== null && row.expiresAt <= clock.nowMs())) return undefined;
      return fromRow(row);
    },
    ofJob: (jobId) => store.ofJob(jobId).map(fromRow),
    async read({ id, sizeBytes }, range) {
      const found = await blobs.read(id, range);
      if (found?.sizeBytes === sizeBytes) return found;
      const actual = found?.sizeBytes ?? 0;
      log.error("an artifact's file is missing or damaged", { artifact: id, sizeBytes, actual });
      return undefined;
    },
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
  };
}

function fromRow({ createdAt, expiresAt, ...row }: ArtifactRow): StoredArtifact {
  return {
    ...row,
    url: `/artifacts/${row.id}`,
    createdAtMs: createdAt,
    ...(expiresAt === null ? {} : { expiresAtMs: expiresAt }),
  };
}

function stale(jobId: string): GatewayError {
  return new GatewayError("CANCELLED", `The attempt at job ${jobId} is over; its file was dropped`);
}

function open(body: ArtifactBody): { stream: ReadableStream<Uint8Array>; declared?: string } {
  if (body instanceof ReadableStream) return { stream: body };
  if (body instanceof Uint8Array) return { stream: streamOf(body) };
  if (body instanceof Blob) return { stream: body.stream(), declared: body.type || undefined };
  if (!body.ok) {
    body.body?.cancel().catch(() => {});
    throw new BackendError("BACKEND_BAD_OUTPUT", `The output was answered with ${body.status}`);
  }
  return {
    stream: body.body ?? streamOf(new Uint8Array(0)),
    declared: body.headers.get("content-type") ?? undefined,
  };
}

function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
}

/**
 * The same stream, seen by the inspector. What is wrong with the file fails the stream before its
 * end, so that no driver ever keeps it.
 */
function inspect(source: ReadableStream<Uint8Array>, inspector: Inspector) {
  const reader = source.getReader();
  let findings: Findings | undefined;
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read().catch((cause) => Promise.reject(broken(cause)));
        if (!done) {
          inspector.feed(value);
          controller.enqueue(value);
          return;
        }
        findings = inspector.finish();
        controller.close();
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  return {
    stream,
    findings(): Findings {
      if (!findings) throw new Error("the blob store did not read to the end");
      return findings;
    },
  };
}

/** A connection that broke in the middle of the file; errors that have a class keep it. */
function broken(cause: unknown): unknown {
  const known = BackendError.is(cause) || cause instanceof GatewayError;
  if (known || (cause instanceof DOMException && cause.name === "AbortError")) return cause;
  return new BackendError("BACKEND_LOST", "The output broke off while it was read", { cause });
}
