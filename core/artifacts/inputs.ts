/**
 * Files that come with requests. Their bytes are stored before their job exists, and they get
 * their rows in the commit that makes it: a crash in between leaves bytes that `sweep` removes. An
 * earlier artifact is taken by a row of the job's own over the same bytes, so that nothing that
 * becomes of the earlier one harms the job.
 */
import type { Clock } from "../clock.ts";
import { GatewayError } from "../errors.ts";
import type { Ids } from "../ids.ts";
import { BackendError } from "../sdk/errors.ts";
import type { FileKind } from "../sdk/inputs.ts";
import type { InputFile } from "../sdk/job.ts";
import type { Logger } from "../sdk/plugin.ts";
import { invalid } from "../validation.ts";
import type { BlobBody, BlobStore } from "./blobs.ts";
import { createInspector } from "./inspect.ts";
import { inspected, openBody } from "./inspected.ts";
import { sanitizeName } from "./names.ts";
import { mediaTypeOf } from "./sniff.ts";
import type { ArtifactRow, ArtifactStore } from "./store.ts";
import type { StoredArtifact } from "./stored.ts";

/** Bytes that a client sent for a field of its request. */
export interface Upload {
  /** The field, for errors. */
  readonly field: string;
  readonly kind: FileKind;
  readonly name: string;
  /** What the client says they are; the bytes decide. */
  readonly declared?: string;
  readonly body: ReadableStream<Uint8Array> | Uint8Array;
}

/** An earlier file that a field of a request names. */
export interface Reference {
  readonly field: string;
  readonly kind: FileKind;
  readonly id: string;
}

/** A file on its way into a job. */
export interface Incoming {
  /** Under which the job will find it. */
  readonly id: string;
  readonly field: string;
  readonly blobId: string;
  /** The artifact whose bytes it has; undefined when they came with the request. */
  readonly of?: string;
  readonly name: string;
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  readonly metadata: Record<string, unknown>;
}

export interface Inputs {
  /**
   * Stores the bytes. Errors: VALIDATION_FAILED (empty, cut short, of another kind),
   * PAYLOAD_TOO_LARGE, BAD_REQUEST (the upload broke off), STORAGE_FULL, STORAGE_FAILED.
   */
  receive(upload: Upload): Promise<Incoming>;
  /** Throws what `receive` would, and keeps nothing. */
  examine(upload: Upload): Promise<void>;
  /**
   * An earlier artifact of this key, or a file that came with this job. VALIDATION_FAILED when it is
   * of another kind, and with one answer when it is somebody else's, unknown or expired.
   */
  find(
    reference: Reference,
    owner: { readonly keyId: string } | { readonly jobId: string },
  ): Incoming;
  /** Inside the transaction that makes the job; throws VALIDATION_FAILED when one is gone. */
  attach(job: { readonly id: string; readonly keyId: string }, files: readonly Incoming[]): void;
  /** The request did not become a job. */
  discard(file: Incoming): Promise<void>;
  /** A file of the job, or of its key; undefined when there is none. */
  open(id: string, job: { readonly id: string; readonly keyId: string }): InputFile | undefined;
  /** Whether a request that is under way has stored this blob. */
  isComing(blobId: string): boolean;
}

interface InputsPorts {
  readonly store: ArtifactStore;
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  readonly maxBytes: number;
  readonly get: (id: string) => StoredArtifact | undefined;
  readonly read: (artifact: StoredArtifact) => Promise<BlobBody | undefined>;
  readonly expiryOf: (createdAtMs: number) => number | null;
}

const SNIFF_BYTES = 1024;
const WORDS: Readonly<Record<FileKind, string>> = {
  image: "an image",
  audio: "an audio file",
  video: "a video",
};
const NO_FILE = "there is no such artifact; it may have expired";

export function createInputs(ports: InputsPorts): Inputs {
  const { store, blobs, clock, ids, log, maxBytes, get } = ports;
  const coming = new Set<string>();

  async function removeBlob(blobId: string): Promise<void> {
    coming.delete(blobId);
    await blobs.remove(blobId).catch((cause) => {
      log.warn("a discarded file stays until the next sweep", { artifact: blobId, cause });
    });
  }

  async function receive(upload: Upload): Promise<Incoming> {
    const id = ids.uuid();
    const look = examined(upload, maxBytes);
    coming.add(id);
    try {
      const { signal } = new AbortController();
      const written = await blobs.write(id, look.stream, { maxBytes, signal });
      return {
        id,
        field: upload.field,
        blobId: id,
        name: sanitizeName(upload.name),
        ...look.findings(),
        ...written,
      };
    } catch (error) {
      await removeBlob(id);
      throw look.inWords(error);
    }
  }

  return {
    receive,
    async examine(upload) {
      const look = examined(upload, maxBytes);
      try {
        for await (const _ of look.stream);
        look.findings();
      } catch (error) {
        throw look.inWords(error);
      }
    },
    find({ field, kind, id }, owner) {
      const found = get(id);
      const isTheirs =
        "jobId" in owner
          ? found?.jobId === owner.jobId && found.role === "input"
          : found?.keyId === owner.keyId;
      if (!found || !isTheirs) throw fault(field, NO_FILE);
      const { blobId, name, mediaType, sizeBytes, sha256, metadata } = found;
      if (!isOfKind(kind, mediaType)) throw fault(field, wrongKind(kind, mediaType));
      return {
        id: ids.uuid(),
        of: id,
        field,
        blobId,
        name,
        mediaType,
        sizeBytes,
        sha256,
        metadata,
      };
    },
    attach({ id: jobId, keyId }, files) {
      const createdAt = clock.nowMs();
      for (const { of, field, ...file } of files) {
        // Asked again here: the bytes go with their last row, and this is where that is decided.
        if (of !== undefined && !get(of)) throw fault(field, NO_FILE);
        const row: ArtifactRow = {
          ...file,
          jobId,
          keyId,
          role: "input",
          createdAt,
          expiresAt: ports.expiryOf(createdAt),
        };
        store.insertNow(row);
        coming.delete(file.blobId);
      }
    },
    async discard({ blobId, of }) {
      if (of === undefined) await removeBlob(blobId);
    },
    open(id, job) {
      const found = get(id);
      const isTheirs = found?.jobId === job.id || found?.keyId === job.keyId;
      return found && isTheirs ? inputFile(found, ports.read) : undefined;
    },
    isComing: (blobId) => coming.has(blobId),
  };
}

const fault = (field: string, message: string): GatewayError =>
  invalid([{ field: `/${field}`, message }]);

/** Whether a file of this type can stand where this kind is wanted. */
function isOfKind(kind: FileKind, mediaType: string): boolean {
  return mediaType.startsWith(`${kind}/`);
}

/** What to say where it cannot. */
function wrongKind(kind: FileKind, mediaType: string): string {
  return `expected ${WORDS[kind]}, found ${mediaType}`;
}

function inputFile(
  artifact: StoredArtifact,
  read: (artifact: StoredArtifact) => Promise<BlobBody | undefined>,
): InputFile {
  const { id, name, mediaType, sizeBytes } = artifact;
  return {
    name,
    mediaType,
    sizeBytes,
    async blob() {
      const found = await read(artifact);
      if (!found) {
        throw new BackendError("BACKEND_REJECTED", `The bytes of the file ${id} are gone`);
      }
      if (found.body instanceof Blob) return found.body.slice(0, sizeBytes, mediaType);
      const headers = { "content-type": mediaType };
      return new Response(found.body as ReadableStream<Uint8Array<ArrayBuffer>>, {
        headers,
      }).blob();
    },
  };
}

/** The upload as a stream that fails at its end when the bytes are not what is wanted. */
function examined({ field, kind, declared, body }: Upload, maxBytes: number) {
  const inspector = createInspector(undefined);
  let sizeBytes = 0;
  let head = new Uint8Array(0);
  const { stream, findings } = inspected(openBody(body).stream, {
    feed(chunk) {
      sizeBytes += chunk.length;
      if (head.length < SNIFF_BYTES) {
        head = new Uint8Array(Buffer.concat([head, chunk.subarray(0, SNIFF_BYTES)]));
      }
      inspector.feed(chunk);
    },
    finish() {
      if (sizeBytes === 0) throw fault(field, "the file is empty");
      const { mediaType, measures } = inspector.finish();
      const type = typeFor(kind, head, declared) ?? mediaType;
      if (isOfKind(kind, type)) return { mediaType: type, measures };
      throw fault(field, wrongKind(kind, type));
    },
  });
  return {
    stream,
    findings() {
      const { mediaType, measures } = findings();
      return { mediaType, metadata: { ...measures } };
    },
    /** The store and the inspector speak of outputs; this one was sent by a client. */
    inWords(error: unknown): unknown {
      if (!BackendError.is(error)) return error;
      if (sizeBytes > maxBytes) {
        const message = `${field} is larger than ${maxBytes} bytes (artifacts.max_bytes)`;
        return new GatewayError("PAYLOAD_TOO_LARGE", message);
      }
      if (error.code === "BACKEND_LOST") {
        return new GatewayError("BAD_REQUEST", "The upload broke off", { cause: error });
      }
      const message = error.message.charAt(0).toLowerCase() + error.message.slice(1);
      return fault(field, message);
    },
  };
}

/** Some containers hold video or only audio and look the same: then what is wanted counts. */
function typeFor(kind: FileKind, head: Uint8Array, declared: string | undefined) {
  const found = mediaTypeOf(head.subarray(0, SNIFF_BYTES), declared);
  const wanted = mediaTypeOf(head.subarray(0, SNIFF_BYTES), found.replace(/^\w+/, kind));
  return [found, wanted].find((type) => isOfKind(kind, type));
}
