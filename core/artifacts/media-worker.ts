/** The worker of media.ts: reads one stored file at a time, of which it asks the parts it needs. */
import { parentPort } from "node:worker_threads";
import { ALL_FORMATS, Input, type InputVideoTrack, StreamSource } from "mediabunny";
import { gifSeconds } from "./gif.ts";
import type { Measures } from "./measure.ts";
import type { MediaReply, MediaRequest } from "./media.ts";

const CACHE_BYTES = 4 * 1024 ** 2;

const waiting = new Map<number, (bytes: Uint8Array) => void>();
let reads = 0;

parentPort?.on("message", (request: MediaRequest) => {
  if (request.kind === "bytes") {
    waiting.get(request.read)?.(request.bytes);
    waiting.delete(request.read);
    return;
  }
  waiting.clear();
  // What cannot be read has no measures; what is wrong with a file is not found out here.
  measure(request.mediaType, request.sizeBytes).then(
    (measures) => reply({ kind: "measured", measures }),
    () => reply({ kind: "measured", measures: {} }),
  );
});

const reply = (message: MediaReply): void => parentPort?.postMessage(message);

function read(first: number, end: number): Promise<Uint8Array> {
  const number = ++reads;
  return new Promise((resolve) => {
    waiting.set(number, resolve);
    reply({ kind: "read", read: number, first, end });
  });
}

async function measure(mediaType: string, sizeBytes: number): Promise<Measures> {
  if (mediaType === "image/gif") return secondsOf(await gifSeconds(sizeBytes, read));
  const source = new StreamSource({
    getSize: () => sizeBytes,
    read,
    maxCacheSize: CACHE_BYTES,
    prefetchProfile: "fileSystem",
  });
  const input = new Input({ formats: ALL_FORMATS, source });
  try {
    const size = mediaType.startsWith("audio/") ? {} : sizeOf(await input.getPrimaryVideoTrack());
    const told = await input.getDurationFromMetadata();
    // The way to the end of a file that does not tell may be long; the limits end it.
    return { ...size, ...secondsOf(told ?? (await input.computeDuration())) };
  } finally {
    input.dispose();
  }
}

function sizeOf(track: InputVideoTrack | null): Measures {
  if (!track) return {};
  const { displayWidth: width, displayHeight: height } = track;
  return width > 0 && height > 0 ? { width, height } : {};
}

function secondsOf(seconds: number | undefined): Measures {
  if (seconds === undefined || !Number.isFinite(seconds) || seconds <= 0) return {};
  return { duration_seconds: Math.round(seconds * 1_000) / 1_000 };
}
