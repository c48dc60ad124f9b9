/**
 * The port for stored bytes. Drivers are factories; their contract is the suite in
 * tests/core/artifacts/blob-store-suite.ts.
 */

export interface WriteLimits {
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

export interface WrittenBlob {
  readonly sizeBytes: number;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
}

/** Both ends count, as in a Range header: 0 to 0 is one byte. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

export interface BlobBody {
  /** Of the whole blob, whatever the range. */
  readonly sizeBytes: number;
  /** Holds nothing open until it is first pulled, and nothing after its end or cancel. */
  readonly body: ReadableStream<Uint8Array> | Blob;
}

export interface BlobEntry {
  readonly id: string;
  /** Wall-clock milliseconds of the last write. */
  readonly modifiedAtMs: number;
}

export interface BlobStore {
  /**
   * Stores the stream under a new id, all of it or nothing, past a power loss when the promise
   * settles. Errors: what the stream or the signal failed with; BackendError BACKEND_BAD_OUTPUT
   * for no byte or more than `maxBytes`; GatewayError STORAGE_FULL or STORAGE_FAILED.
   */
  write(id: string, body: ReadableStream<Uint8Array>, limits: WriteLimits): Promise<WrittenBlob>;
  /**
   * Undefined when there is no such blob, or the id is none of ours. The range lies inside the
   * blob.
   */
  read(id: string, range?: ByteRange): Promise<BlobBody | undefined>;
  has(id: string): Promise<boolean>;
  /** Nothing happens when there is no such blob. */
  remove(id: string): Promise<void>;
  /** Finished blobs, in no order. */
  list(): AsyncIterable<BlobEntry>;
  /** Removes what unfinished writes left behind before this time; returns how many. */
  removePartial(beforeMs: number): Promise<number>;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Only a lower-case UUID may become part of a path. */
export function isBlobId(text: string): boolean {
  return UUID.test(text);
}
