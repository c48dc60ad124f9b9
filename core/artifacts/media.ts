/**
 * Measures of sounds, videos and animations, for the artifact's metadata: what a first part of the
 * file does not tell. A library reads the stored file, in a worker, because a file of a few
 * kilobytes can promise four thousand million frames and keep a reader busy, and its memory
 * growing, until it is stopped.
 */
import { Worker } from "node:worker_threads";
import type { Clock } from "../clock.ts";
import type { Measures } from "./measure.ts";

/** What the gateway says to its worker. */
export type MediaRequest =
  | { readonly kind: "measure"; readonly mediaType: string; readonly sizeBytes: number }
  | { readonly kind: "bytes"; readonly read: number; readonly bytes: Uint8Array };

/** What the worker answers. */
export type MediaReply =
  | { readonly kind: "read"; readonly read: number; readonly first: number; readonly end: number }
  | { readonly kind: "measured"; readonly measures: Measures };

export interface StoredMedia {
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** The bytes from `first` up to, but not including, `end`. */
  read(first: number, end: number): Promise<Uint8Array>;
}

export interface MediaReader {
  /** What can be told within the limits, perhaps nothing; never throws. */
  measure(media: StoredMedia): Promise<Measures>;
  close(): Promise<void>;
}

export interface MediaReaderOptions {
  readonly monotonicMs: Clock["monotonicMs"];
  readonly limitMs?: number;
  /** How far the process may grow meanwhile. */
  readonly limitMiB?: number;
  readonly idleMs?: number;
}

const READABLE = new Set([
  ...["audio/mpeg", "audio/flac", "audio/ogg", "audio/opus", "audio/mp4", "audio/aac"],
  ...["audio/webm", "audio/x-matroska", "video/mp4", "video/quicktime", "video/webm"],
  ...["video/x-matroska", "video/ogg", "image/gif"],
]);
const LIMIT_MS = 3_000;
const LIMIT_MIB = 192;
const IDLE_MS = 30_000;
const LOOK_MS = 20;
const MIB = 1024 ** 2;
/** Of one file; its tables stand in far less. */
const MAX_READ_BYTES = 32 * MIB;

export function createMediaReader(options: MediaReaderOptions): MediaReader {
  const { limitMs = LIMIT_MS, limitMiB = LIMIT_MIB, idleMs = IDLE_MS, monotonicMs } = options;
  let worker: Worker | undefined;
  let idle: ReturnType<typeof setTimeout> | undefined;
  /** One file at a time. */
  let turn: Promise<unknown> = Promise.resolve();

  function stop(): void {
    clearTimeout(idle);
    const stopping = worker;
    worker = undefined;
    stopping?.removeAllListeners();
    // An error after this is nobody's.
    stopping?.on("error", () => {});
    stopping?.terminate().catch(() => {});
  }

  function start(): Worker {
    clearTimeout(idle);
    worker ??= new Worker(new URL("./media-worker.ts", import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: limitMiB },
    });
    worker.unref();
    return worker;
  }

  function ask({ mediaType, sizeBytes, read }: StoredMedia): Promise<Measures> {
    const { promise, resolve } = Promise.withResolvers<Measures>();
    const asked = start();
    const post = (request: MediaRequest): void => asked.postMessage(request);
    const startedMs = monotonicMs();
    const startedBytes = process.memoryUsage.rss();
    let readBytes = 0;
    const end = (measures: Measures, isWell: boolean): void => {
      clearInterval(watch);
      asked.removeAllListeners();
      if (isWell) {
        idle = setTimeout(stop, idleMs);
        idle.unref();
      } else stop();
      resolve(measures);
    };
    const giveUp = (): void => end({}, false);
    const watch = setInterval(() => {
      const grownMiB = (process.memoryUsage.rss() - startedBytes) / MIB;
      if (monotonicMs() - startedMs > limitMs || grownMiB > limitMiB) giveUp();
    }, LOOK_MS);
    asked.on("error", giveUp);
    asked.on("exit", giveUp);
    asked.on("message", (reply: MediaReply) => {
      if (reply.kind === "measured") return end(reply.measures, true);
      readBytes += reply.end - reply.first;
      if (readBytes > MAX_READ_BYTES) return giveUp();
      read(reply.first, reply.end).then(
        (bytes) => post({ kind: "bytes", read: reply.read, bytes }),
        giveUp,
      );
    });
    post({ kind: "measure", mediaType, sizeBytes });
    return promise;
  }

  return {
    measure(media) {
      if (!READABLE.has(media.mediaType)) return Promise.resolve({});
      const measuring = turn.then(() => ask(media)).catch(() => ({}));
      turn = measuring;
      return measuring;
    },
    async close() {
      stop();
    },
  };
}
