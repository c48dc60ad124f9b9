/**
 * Blobs as files: `<root>/<last two digits of the id>/<id>`. A blob is written to
 * `<root>/partial/`, synced and then renamed, so that a file at its final name is always whole.
 * No part of a path comes from a user.
 */
import { createHash } from "node:crypto";
import { constants, mkdirSync, readdirSync, realpathSync, rmSync } from "node:fs";
import {
  type FileHandle,
  lstat,
  mkdir,
  open,
  opendir,
  readdir,
  realpath,
  rename,
  rm,
} from "node:fs/promises";
import { join } from "node:path";
import { GatewayError } from "../errors.ts";
import { BackendError } from "../sdk/errors.ts";
import { type BlobEntry, type BlobStore, isBlobId, type WriteLimits } from "./blobs.ts";
import { streamFile } from "./file-stream.ts";

export interface FsBlobsOptions {
  /** Made when it is missing. One process only: partial files in it are removed at the start. */
  readonly folder: string;
  /** Gives a file as a Blob where the runtime sends one better than a stream. */
  readonly fileBody?: (path: string, first: number, end: number) => Blob | undefined;
}

const PARTIAL = "partial";
const SHARD = /^[0-9a-f]{2}$/;
/** Bytes hashed and written at once, so that one large buffer does not hold up the event loop. */
const SLICE_BYTES = 256 * 1024;
// Windows has no O_NOFOLLOW.
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;
const CREATE = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | NO_FOLLOW;
const READ = constants.O_RDONLY | NO_FOLLOW;

export function createFsBlobs(options: FsBlobsOptions): BlobStore {
  mkdirSync(join(options.folder, PARTIAL), { recursive: true, mode: 0o700 });
  const root = realpathSync(options.folder);
  const partial = join(root, PARTIAL);
  for (const name of readdirSync(partial)) rmSync(join(partial, name), { force: true });
  /** Ids being written now. */
  const writing = new Set<string>();

  const shardOf = (id: string) => join(root, id.slice(-2));
  const pathOf = (id: string) => join(shardOf(id), id);

  /**
   * The blob's path and size; undefined unless it is a plain file that really lies under the
   * root.
   */
  async function locate(id: string): Promise<{ path: string; sizeBytes: number } | undefined> {
    if (!isBlobId(id)) return undefined;
    try {
      const stats = await lstat(pathOf(id));
      if (!stats.isFile() || (await realpath(shardOf(id))) !== shardOf(id)) return undefined;
      return { path: pathOf(id), sizeBytes: stats.size };
    } catch (error) {
      if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
      throw storeError(error);
    }
  }

  async function publish(temporary: string, id: string): Promise<void> {
    const shard = shardOf(id);
    if (await mkdir(shard, { recursive: true, mode: 0o700 })) await syncFolder(root);
    if ((await realpath(shard)) !== shard) throw new Error("a folder of the artifacts is a link");
    await rename(temporary, pathOf(id));
    await syncFolder(shard);
  }

  return {
    async write(id, body, limits) {
      if (!isBlobId(id)) throw new Error(`"${id}" is no blob id; it must be a lower-case UUID`);
      const temporary = join(partial, id);
      const reader = body.getReader();
      const cancel = () => void reader.cancel(limits.signal.reason).catch(() => {});
      limits.signal.addEventListener("abort", cancel);
      writing.add(id);
      try {
        limits.signal.throwIfAborted();
        if (await locate(id)) throw new Error(`blob ${id} exists; a blob is written once`);
        const written = await writeFile(temporary, reader, limits);
        await publish(temporary, id).catch((error) => Promise.reject(storeError(error)));
        return written;
      } catch (error) {
        // Not awaited: a source that hangs may hang here too.
        reader.cancel(error).catch(() => {});
        await rm(temporary, { force: true });
        limits.signal.throwIfAborted();
        throw error;
      } finally {
        writing.delete(id);
        limits.signal.removeEventListener("abort", cancel);
      }
    },

    async read(id, range) {
      const found = await locate(id);
      if (!found) return undefined;
      const { path, sizeBytes } = found;
      const first = range?.first ?? 0;
      const end = range ? range.last + 1 : sizeBytes;
      const body = options.fileBody?.(path, first, end) ?? streamFile(path, first, end, READ);
      return { sizeBytes, body };
    },

    async has(id) {
      return (await locate(id)) !== undefined;
    },

    async remove(id) {
      const found = await locate(id);
      if (found) await rm(found.path, { force: true });
    },

    async *list(): AsyncGenerator<BlobEntry> {
      for (const folder of await readdir(root, { withFileTypes: true })) {
        const shard = folder.name;
        if (!folder.isDirectory() || !SHARD.test(shard)) continue;
        for await (const { name } of await opendir(join(root, shard))) {
          if (!isBlobId(name) || !name.endsWith(shard)) continue;
          const modifiedAtMs = await modifiedAt(join(root, shard, name));
          if (modifiedAtMs !== undefined) yield { id: name, modifiedAtMs };
        }
      }
    },

    async removePartial(beforeMs) {
      let removed = 0;
      for (const name of await readdir(partial)) {
        if (writing.has(name)) continue;
        const modifiedAtMs = await modifiedAt(join(partial, name));
        if (modifiedAtMs === undefined || modifiedAtMs >= beforeMs) continue;
        await rm(join(partial, name), { force: true });
        removed += 1;
      }
      return removed;
    },
  };
}

type Reader = ReadableStreamDefaultReader<Uint8Array>;

/** Writes, hashes and syncs all of it; the file may be left behind when it throws. */
export async function writeFile(path: string, reader: Reader, { maxBytes, signal }: WriteLimits) {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  const file = await onDisk(() => open(path, CREATE, 0o600));
  try {
    for (;;) {
      const { done, value } = await reader.read();
      // After an abort the cancelled reader says "done"; what came before it is not the whole.
      signal.throwIfAborted();
      if (done) break;
      sizeBytes += value.length;
      if (sizeBytes > maxBytes) {
        throw new BackendError(
          "BACKEND_BAD_OUTPUT",
          `The output is larger than the ${maxBytes} bytes allowed for one artifact`,
        );
      }
      for (let at = 0; at < value.length; at += SLICE_BYTES) {
        const slice = value.subarray(at, at + SLICE_BYTES);
        hash.update(slice);
        await onDisk(() => writeAll(file, slice));
        signal.throwIfAborted();
      }
    }
    if (sizeBytes === 0) throw new BackendError("BACKEND_BAD_OUTPUT", "The output has no bytes");
    await onDisk(() => file.sync());
    return { sizeBytes, sha256: hash.digest("hex") };
  } finally {
    await file.close();
  }
}

/** One write(2) may take less than it was given, for example just before the disk is full. */
async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    written += (await file.write(bytes, written, bytes.length - written)).bytesWritten;
  }
}

/** Makes a rename in this folder outlive a power loss. */
async function syncFolder(path: string): Promise<void> {
  // Windows opens no folder; its file system logs the rename itself.
  if (process.platform === "win32") return;
  const handle = await open(path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function modifiedAt(path: string): Promise<number | undefined> {
  const stats = await lstat(path).catch(() => undefined);
  return stats?.isFile() ? stats.mtimeMs : undefined;
}

async function onDisk<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storeError(error);
  }
}

export function storeError(cause: unknown): GatewayError {
  const full = ["ENOSPC", "EDQUOT"].includes(codeOf(cause));
  const [code, message] = full
    ? (["STORAGE_FULL", "The disk that holds the artifacts is full"] as const)
    : (["STORAGE_FAILED", "The artifact store could not be read or written"] as const);
  return new GatewayError(code, message, { cause, retryAfterMs: 5_000 });
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
