/** What every driver of the blob store must do. A driver's test file calls it with a factory. */
import { afterEach, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import type { BlobStore } from "../../../core/artifacts/blobs.ts";
import { createIds } from "../../../core/ids.ts";
import { endless, streamOf } from "./samples.ts";

export interface BlobStoreCase {
  readonly blobs: BlobStore;
  dispose(): Promise<void>;
}

const ids = createIds();
const MAX_BYTES = 1_000_000;
const never = () => new AbortController().signal;
const limits = () => ({ maxBytes: MAX_BYTES, signal: never() });

export const HOSTILE_IDS = [
  "",
  ".",
  "..",
  "../../etc/passwd",
  "..%2f..%2fetc%2fpasswd",
  "..\\..\\windows\\win.ini",
  "/etc/passwd",
  "0199f3a2-8d10-7c3e-8a41-5e0f6b7c9d21\0",
  "0199f3a2-8d10-7c3e-8a41-5e0f6b7c9d21/../x",
  "0199F3A2-8D10-7C3E-8A41-5E0F6B7C9D21",
  "0199f3a2-8d10-7c3e-8a41-5e0f6b7c9d21\n",
  "partial",
];

export function blobStoreSuite(name: string, make: () => Promise<BlobStoreCase>): void {
  describe(`blob store: ${name}`, () => {
    let open: BlobStoreCase | undefined;
    const start = async (): Promise<BlobStore> => {
      open = await make();
      return open.blobs;
    };
    afterEach(async () => {
      await open?.dispose();
      open = undefined;
    });
    const listed = async (blobs: BlobStore) => {
      const found: string[] = [];
      for await (const { id } of blobs.list()) found.push(id);
      return found;
    };
    const nothingIsLeft = async (blobs: BlobStore, id: string) => {
      expect(await blobs.has(id)).toBe(false);
      expect(await listed(blobs)).toEqual([]);
      expect(await blobs.removePartial(Number.POSITIVE_INFINITY)).toBe(0);
    };

    test("what was written is read back, with its size and hash", async () => {
      const blobs = await start();
      const id = ids.uuid();
      const bytes = new Uint8Array(randomBytes(700_001));
      const written = await blobs.write(id, streamOf(bytes, 99_999), limits());
      expect(written).toEqual({
        sizeBytes: bytes.length,
        sha256: createHash("sha256").update(bytes).digest("hex"),
      });
      expect(await blobs.has(id)).toBe(true);
      const found = await blobs.read(id);
      expect(found?.sizeBytes).toBe(bytes.length);
      expect(Buffer.compare(await bytesOf(found), bytes)).toBe(0);
    });

    test("a range gives exactly its bytes, both ends included", async () => {
      const blobs = await start();
      const id = ids.uuid();
      const bytes = new Uint8Array(randomBytes(300_000));
      await blobs.write(id, streamOf(bytes, 64_000), limits());
      for (const [first, last] of [
        [0, 0],
        [0, 299_999],
        [1, 131_072],
        [131_071, 131_073],
        [299_999, 299_999],
      ] as const) {
        const found = await blobs.read(id, { first, last });
        expect(found?.sizeBytes).toBe(300_000);
        expect(Buffer.compare(await bytesOf(found), bytes.slice(first, last + 1))).toBe(0);
      }
    });

    test("the limit in bytes is exact: n is stored, n + 1 is refused and leaves nothing", async () => {
      const blobs = await start();
      const fits = ids.uuid();
      expect((await blobs.write(fits, endless(MAX_BYTES), limits())).sizeBytes).toBe(MAX_BYTES);
      await blobs.remove(fits);
      const id = ids.uuid();
      const error = await blobs.write(id, endless(MAX_BYTES + 1), limits()).catch((e) => e);
      expect(error.code).toBe("BACKEND_BAD_OUTPUT");
      expect(error.message).toContain(String(MAX_BYTES));
      await nothingIsLeft(blobs, id);
    });

    test("an output without a byte is refused", async () => {
      const blobs = await start();
      const id = ids.uuid();
      const error = await blobs.write(id, endless(0), limits()).catch((e) => e);
      expect(error.code).toBe("BACKEND_BAD_OUTPUT");
      await nothingIsLeft(blobs, id);
    });

    test("a stream that fails half way leaves nothing and its error comes out", async () => {
      const blobs = await start();
      const id = ids.uuid();
      let pulls = 0;
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (++pulls === 5) controller.error(new Error("the line went dead"));
          else controller.enqueue(new Uint8Array(10_000));
        },
      });
      const error = await blobs.write(id, body, limits()).catch((e) => e);
      expect(error.message).toBe("the line went dead");
      await nothingIsLeft(blobs, id);
    });

    test("an abort ends a write that waits for a silent source, and cancels the source", async () => {
      const blobs = await start();
      const id = ids.uuid();
      const control = new AbortController();
      const cancelled = Promise.withResolvers<unknown>();
      let pulls = 0;
      const body = new ReadableStream<Uint8Array>(
        {
          pull(controller) {
            if (++pulls === 1) return controller.enqueue(new Uint8Array(5000));
            // The writer waits for a second piece that never comes.
            queueMicrotask(() => control.abort(new Error("no longer wanted")));
            return new Promise(() => {});
          },
          cancel: (reason) => cancelled.resolve(reason),
        },
        { highWaterMark: 0 },
      );
      const error = await blobs
        .write(id, body, { maxBytes: MAX_BYTES, signal: control.signal })
        .catch((e) => e);
      expect(error.message).toBe("no longer wanted");
      expect(await cancelled.promise).toBe(control.signal.reason);
      await nothingIsLeft(blobs, id);
    });

    test("a signal that is already aborted stores nothing", async () => {
      const blobs = await start();
      const id = ids.uuid();
      const signal = AbortSignal.abort(new Error("too late"));
      const error = await blobs
        .write(id, endless(10), { maxBytes: MAX_BYTES, signal })
        .catch((e) => e);
      expect(error.message).toBe("too late");
      await nothingIsLeft(blobs, id);
    });

    test("a blob is written once: a second write of its id is refused and changes nothing", async () => {
      const blobs = await start();
      const id = ids.uuid();
      await blobs.write(id, streamOf(new Uint8Array([1, 2, 3])), limits());
      const error = await blobs.write(id, streamOf(new Uint8Array([9])), limits()).catch((e) => e);
      expect(error).toBeInstanceOf(Error);
      expect([...(await bytesOf(await blobs.read(id)))]).toEqual([1, 2, 3]);
    });

    test("a removed blob is gone; removing what is not there is no error", async () => {
      const blobs = await start();
      const id = ids.uuid();
      await blobs.write(id, endless(100), limits());
      await blobs.remove(id);
      await blobs.remove(id);
      expect(await blobs.read(id)).toBeUndefined();
      await nothingIsLeft(blobs, id);
    });

    test("the list names every blob with the time of its writing", async () => {
      const blobs = await start();
      const written = Array.from({ length: 20 }, () => ids.uuid());
      const before = Date.now() - 2000;
      for (const id of written) await blobs.write(id, endless(10), limits());
      const found: string[] = [];
      for await (const { id, modifiedAtMs } of blobs.list()) {
        expect(modifiedAtMs).toBeGreaterThan(before);
        expect(modifiedAtMs).toBeLessThan(Date.now() + 2000);
        found.push(id);
      }
      expect(found.sort()).toEqual(written.sort());
    });

    test("ids that are no UUID are never found and never written", async () => {
      const blobs = await start();
      for (const id of HOSTILE_IDS) {
        expect(await blobs.read(id)).toBeUndefined();
        expect(await blobs.has(id)).toBe(false);
        await blobs.remove(id);
        const error = await blobs.write(id, endless(10), limits()).catch((e) => e);
        expect(error).toBeInstanceOf(Error);
      }
      expect(await listed(blobs)).toEqual([]);
    });
  });
}

export function bytesOf(found: { body: ReadableStream<Uint8Array> | Blob } | undefined) {
  return new Response(found?.body).bytes();
}
