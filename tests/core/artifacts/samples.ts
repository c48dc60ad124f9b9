/** Small whole files of each kind, made by hand, and streams to store them from. */
import { crc32 } from "node:zlib";

export const latin1 = (text: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array([...text].map((character) => character.charCodeAt(0)));

export function join(...parts: (Uint8Array | string)[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(
    parts.flatMap((part) => [...(typeof part === "string" ? latin1(part) : part)]),
  );
}

export function uint32(value: number, littleEndian = false): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, littleEndian);
  return bytes;
}

const uint16 = (value: number) => new Uint8Array([value >> 8, value & 0xff]);

export function png(width = 640, height = 480): Uint8Array<ArrayBuffer> {
  const chunk = (type: string, content: Uint8Array) => {
    const body = join(type, content);
    return join(uint32(content.length), body, uint32(crc32(body)));
  };
  const header = join(uint32(width), uint32(height), new Uint8Array([8, 2, 0, 0, 0]));
  return join(
    "\x89PNG\r\n\x1a\n",
    chunk("IHDR", header),
    chunk("IDAT", new Uint8Array(600).fill(7)),
    chunk("IEND", new Uint8Array(0)),
  );
}

export function jpeg(width = 320, height = 200, notes = 40_000): Uint8Array<ArrayBuffer> {
  return join(
    "\xff\xd8\xff\xe1",
    uint16(notes + 2),
    new Uint8Array(notes),
    "\xff\xc0\x00\x11\x08",
    uint16(height),
    uint16(width),
    new Uint8Array(10),
    "\xff\xda\x00\x02",
    new Uint8Array(5000).fill(0x55),
    "\xff\xd9",
  );
}

export function wav(seconds = 0.5, rate = 8000, riffBytes?: number): Uint8Array<ArrayBuffer> {
  const samples = new Uint8Array(Math.round(seconds * rate) * 2);
  return join(
    "RIFF",
    uint32(riffBytes ?? 36 + samples.length, true),
    "WAVEfmt ",
    uint32(16, true),
    "\x01\x00\x01\x00",
    uint32(rate, true),
    uint32(rate * 2, true),
    "\x02\x00\x10\x00data",
    uint32(samples.length, true),
    samples,
  );
}

export function webp(width = 33, height = 44): Uint8Array<ArrayBuffer> {
  const uint24 = (value: number) => uint32(value, true).slice(0, 3);
  const body = join(
    "WEBPVP8X",
    uint32(10, true),
    new Uint8Array(4),
    uint24(width - 1),
    uint24(height - 1),
    "VP8 ",
    uint32(500, true),
    new Uint8Array(500),
  );
  return join("RIFF", uint32(body.length, true), body);
}

export function box(type: string, content: Uint8Array): Uint8Array<ArrayBuffer> {
  return join(uint32(8 + content.length), type, content);
}

/** `moov` at the end, as most programs write it; `mdat` with a 64-bit size. */
export function mp4(brand = "isom"): Uint8Array<ArrayBuffer> {
  const media = new Uint8Array(3000).fill(9);
  return join(
    box("ftyp", join(brand, uint32(512), "isomiso2")),
    uint32(1),
    "mdat",
    uint32(0),
    uint32(16 + media.length),
    media,
    box("moov", new Uint8Array(200)),
  );
}

/** The bytes in pieces of this size. */
export function streamOf(bytes: Uint8Array, pieceBytes = 1000): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at + pieceBytes));
      at += pieceBytes;
    },
  });
}

/** As many zero bytes as asked for, made while they are read; it costs no memory of its own. */
export function endless(totalBytes: number): ReadableStream<Uint8Array> {
  const zeros = new Uint8Array(64 * 1024);
  let left = totalBytes;
  return new ReadableStream(
    {
      pull(controller) {
        if (left <= 0) return controller.close();
        const size = Math.min(left, zeros.length);
        left -= size;
        controller.enqueue(zeros.subarray(0, size));
      },
    },
    { highWaterMark: 0 },
  );
}
