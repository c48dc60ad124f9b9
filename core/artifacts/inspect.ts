/**
 * Looks at an output while it streams into the store: its type, its measures, and whether it was
 * cut short. Keeps the first and the last bytes, never the whole.
 */
import { BackendError } from "../sdk/errors.ts";
import type { AudioFormat } from "../sdk/formats.ts";
import { createBoxWalk } from "./box-walk.ts";
import { type Measures, measure } from "./measure.ts";
import { audioFormatOf, contradiction, mediaTypeOf } from "./sniff.ts";

export interface Findings {
  readonly mediaType: string;
  readonly measures: Measures;
  /** Of a sound in one of the formats that clients may ask for. */
  readonly audioFormat?: AudioFormat;
}

export interface Inspector {
  feed(chunk: Uint8Array): void;
  /** Throws BackendError BACKEND_BAD_OUTPUT when the file is certainly not what it should be. */
  finish(): Findings;
}

/** Where the type is looked for; more would only cost time. */
const SNIFF_BYTES = 1024;
/** A JPEG's frame header may stand behind a camera's notes of almost 64 KiB. */
const HEAD_BYTES = 72 * 1024;
/** An end marker this close to the end counts: some programs add a few bytes behind it. */
const TAIL_BYTES = 4 * 1024;
/** Sizes from here on in a WAV header mean "unknown": it was written to a pipe. */
const UNKNOWN_RIFF_BYTES = 0x7ffff000;
const PNG_END = "\0\0\0\0IEND\xae\x42\x60\x82";
const JPEG_END = "\xff\xd9";

export function createInspector(declared: string | undefined): Inspector {
  const head = createWindow(HEAD_BYTES);
  const boxes = createBoxWalk();
  let tail = new Uint8Array(0);
  let sizeBytes = 0;

  return {
    feed(chunk) {
      sizeBytes += chunk.length;
      head.add(chunk);
      boxes.feed(chunk);
      tail = lastOf(tail, chunk);
    },
    finish() {
      const bytes = head.bytes();
      const start = bytes.subarray(0, SNIFF_BYTES);
      const wrong = contradiction(start, declared);
      if (wrong) throw new BackendError("BACKEND_BAD_OUTPUT", `Not the expected file: ${wrong}`);
      const mediaType = mediaTypeOf(start, declared);
      const cut = cutShort(mediaType, { head: bytes, tail, sizeBytes }) ?? boxDefect(mediaType);
      if (cut) throw new BackendError("BACKEND_BAD_OUTPUT", `The ${cut}`);
      return {
        mediaType,
        measures: measure(mediaType, bytes, sizeBytes),
        audioFormat: audioFormatOf(mediaType, start),
      };
    },
  };

  function boxDefect(mediaType: string): string | undefined {
    if (!/^(video\/(mp4|quicktime)|audio\/mp4)$/.test(mediaType)) return undefined;
    const defect = boxes.defect();
    return defect && `${mediaType} file is cut short: ${defect}`;
  }
}

interface Sample {
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  readonly sizeBytes: number;
}

/** Only what is certain: a format without an end mark or a length passes. */
function cutShort(mediaType: string, { head, tail, sizeBytes }: Sample): string | undefined {
  const ends = (mark: string) => Buffer.from(tail.buffer).includes(mark, 0, "latin1");
  switch (mediaType) {
    case "image/png":
      return ends(PNG_END) ? undefined : `PNG is cut short: no IEND chunk after ${sizeBytes} bytes`;
    case "image/jpeg":
      return ends(JPEG_END) ? undefined : `JPEG is cut short: no end after ${sizeBytes} bytes`;
    case "audio/wav":
    case "image/webp": {
      const promised = new DataView(head.buffer, head.byteOffset).getUint32(4, true) + 8;
      // Some writers leave out the byte that makes the size even.
      if (promised >= UNKNOWN_RIFF_BYTES || promised <= sizeBytes + 1) return undefined;
      const name = mediaType === "audio/wav" ? "WAV" : "WebP";
      return `${name} is cut short: it has ${sizeBytes} of ${promised} bytes`;
    }
    default:
      return undefined;
  }
}

function createWindow(limit: number) {
  const buffer = new Uint8Array(limit);
  let filled = 0;
  return {
    add(chunk: Uint8Array): void {
      const piece = chunk.subarray(0, limit - filled);
      buffer.set(piece, filled);
      filled += piece.length;
    },
    bytes: () => buffer.subarray(0, filled),
  };
}

function lastOf(tail: Uint8Array, chunk: Uint8Array): Uint8Array<ArrayBuffer> {
  const kept = Math.max(0, Math.min(tail.length, TAIL_BYTES - chunk.length));
  const added = chunk.subarray(Math.max(0, chunk.length - TAIL_BYTES));
  const joined = new Uint8Array(kept + added.length);
  joined.set(tail.subarray(tail.length - kept));
  joined.set(added, kept);
  return joined;
}
