/**
 * A part of a file as a stream with back-pressure: one read for each pull, opened at the first
 * one.
 */
import { type FileHandle, open } from "node:fs/promises";

const CHUNK_BYTES = 64 * 1024;

/** From `first` up to, but not including, `end`. `flags` are those of open(2). */
export function streamFile(
  path: string,
  first: number,
  end: number,
  flags: number,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  let handle: FileHandle | undefined;
  let position = first;
  let cancelled = false;
  let pulling = false;

  async function close(): Promise<void> {
    const closing = handle;
    handle = undefined;
    await closing?.close();
  }

  async function readChunk(): Promise<Uint8Array<ArrayBuffer>> {
    handle ??= await open(path, flags);
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, end - position));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) throw new Error(`the file ends at byte ${position} and not at ${end}`);
    position += bytesRead;
    return chunk.subarray(0, bytesRead);
  }

  return new ReadableStream(
    {
      async pull(controller) {
        pulling = true;
        try {
          const chunk = await readChunk();
          if (cancelled) return await close();
          controller.enqueue(chunk);
          if (position < end) return;
          await close();
          controller.close();
        } catch (error) {
          await close();
          // A reader who has gone needs no error.
          if (!cancelled) throw error;
        } finally {
          pulling = false;
        }
      },
      async cancel() {
        cancelled = true;
        // A read under way still uses the descriptor; its pull closes it.
        if (!pulling) await close();
      },
    },
    { highWaterMark: 0 },
  );
}
