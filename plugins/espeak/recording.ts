/** A file for one recording, so that a long text needs no more memory than a short one. */
import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const CHUNK_BYTES = 64 * 1024;

/** Gives `work` a path in a folder of its own, which is removed whatever happens. */
export async function withRecording<T>(work: (path: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "switchyard-espeak-"));
  try {
    return await work(join(folder, "speech.wav"));
  } finally {
    // A cancelled worker may hold the file for a moment, which some systems do not let pass.
    await rm(folder, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** The file, opened at the first read. (`openAsBlob` would hold all of it in memory on Deno.) */
export function fileStream(path: string): ReadableStream<Uint8Array> {
  let file: FileHandle | undefined;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        file ??= await open(path);
        const { bytesRead, buffer } = await file.read(new Uint8Array(CHUNK_BYTES));
        if (bytesRead > 0) {
          controller.enqueue(buffer.subarray(0, bytesRead));
          return;
        }
        await file.close();
        controller.close();
      },
      cancel: () => file?.close(),
    },
    { highWaterMark: 0 },
  );
}
