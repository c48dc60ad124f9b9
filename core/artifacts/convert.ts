/**
 * Outputs in the audio format that was asked for. The server's file goes to a temporary one and is
 * looked at; when it is a sound in another format, ffmpeg makes the wanted one of it, and the
 * original is dropped with its folder. What a crash leaves is removed at the next start.
 */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Ids } from "../ids.ts";
import { BackendError } from "../sdk/errors.ts";
import type { AudioFormat } from "../sdk/formats.ts";
import { type Ffmpeg, isReadable } from "./ffmpeg.ts";
import { streamFile } from "./file-stream.ts";
import { storeError, writeFile } from "./fs-blobs.ts";
import { createInspector } from "./inspect.ts";
import { inspected } from "./inspected.ts";

export interface Conversion {
  readonly format: AudioFormat;
  readonly stream: ReadableStream<Uint8Array>;
  /** What the backend says the stream is. */
  readonly declared?: string;
  readonly signal: AbortSignal;
  /** Called when it turns out that something has to be made. */
  readonly converting?: () => void;
}

/** A file that may be stored now; its stream can be read until `convert` settles. */
export interface Ready {
  readonly stream: ReadableStream<Uint8Array>;
  readonly mediaType: string;
  /** What it was made of; undefined when it is the server's own file, byte for byte. */
  readonly madeFrom?: string;
}

export interface Converter {
  /** Hands the file on, in the wanted format when it is a sound, and removes all of it after that. */
  convert<T>(conversion: Conversion, store: (ready: Ready) => Promise<T>): Promise<T>;
}

export interface ConverterOptions {
  /** For temporary files, this one's alone: what is in it is removed at the start. */
  readonly folder: string;
  readonly ffmpeg: Ffmpeg;
  readonly ids: Ids;
  readonly maxBytes: number;
  /** Conversions at once; each takes about one processor core. */
  readonly concurrency?: number;
}

const CONCURRENCY = 2;
const EXTENSIONS = /\.(wav|wave|mp3|flac|opus|ogg|oga|m4a|mp4|aac|webm|mka)$/i;

export function createConverter(options: ConverterOptions): Converter {
  const { folder, ffmpeg, ids, maxBytes } = options;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
  const turns = createTurns(options.concurrency ?? CONCURRENCY);

  return {
    async convert({ format, stream, declared, signal, converting }, store) {
      const own = join(folder, ids.uuid());
      const source = join(own, "source");
      const target = join(own, "target");
      const look = inspected(stream, createInspector(declared));
      const reader = look.stream.getReader();
      const cancel = () => void reader.cancel(signal.reason).catch(() => {});
      signal.addEventListener("abort", cancel);
      try {
        await mkdir(own, { mode: 0o700 }).catch((error) => Promise.reject(storeError(error)));
        const { sizeBytes } = await writeFile(source, reader, { maxBytes, signal });
        const { mediaType, audioFormat } = look.findings();
        if (audioFormat === format || !isReadable(mediaType)) {
          return await store({ stream: fileStream(source, sizeBytes), mediaType });
        }
        converting?.();
        const job = { source, mediaType, target, format, maxBytes, signal };
        await turns(() => ffmpeg.convert(job), signal);
        const { size } = await stat(target);
        if (size >= maxBytes) {
          const message = `The output as ${format} is larger than the ${maxBytes} bytes allowed`;
          throw new BackendError("BACKEND_BAD_OUTPUT", message);
        }
        const madeFrom = audioFormat ?? mediaType.replace(/^audio\/(x-)?/, "");
        const made = fileStream(target, size);
        return await store({ stream: made, mediaType: TYPES[format], madeFrom });
      } catch (error) {
        reader.cancel(error).catch(() => {});
        signal.throwIfAborted();
        throw error;
      } finally {
        signal.removeEventListener("abort", cancel);
        await rm(own, { recursive: true, force: true });
      }
    },
  };
}

const TYPES: Readonly<Record<AudioFormat, string>> = {
  wav: "audio/wav",
  mp3: "audio/mpeg",
  flac: "audio/flac",
  opus: "audio/ogg",
  ogg: "audio/ogg",
};

/** The name with the ending of the format. */
export function renamed(name: string, format: AudioFormat): string {
  return `${name.replace(EXTENSIONS, "")}.${format}`;
}

function fileStream(path: string, sizeBytes: number): ReadableStream<Uint8Array> {
  return streamFile(path, 0, sizeBytes, 0);
}

/** At most so many at once; who waits leaves with its signal. */
function createTurns(limit: number) {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async <T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> => {
    if (running >= limit) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const leave = () => {
        const index = waiting.indexOf(resolve);
        if (index >= 0) waiting.splice(index, 1);
        reject(signal.reason);
      };
      waiting.push(resolve);
      signal.addEventListener("abort", leave, { once: true });
      await promise.finally(() => signal.removeEventListener("abort", leave));
    } else running += 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
