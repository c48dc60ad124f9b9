/** Real, small pictures: what a node of the fake draws. */
import { crc32, deflateSync } from "node:zlib";

/** A valid PNG of one colour, derived from a number such as a seed. */
export function pngOf(width: number, height: number, colour: number): Uint8Array<ArrayBuffer> {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // 8 bits per sample, RGB.
  header.set([8, 2], 8);
  const row = Buffer.alloc(1 + width * 3);
  const rgb = [colour >>> 16, colour >>> 8, colour].map((part) => part & 0xff);
  for (let x = 0; x < width; x++) row.set(rgb, 1 + x * 3);
  const pixels = Buffer.alloc(row.length * height);
  for (let y = 0; y < height; y++) row.copy(pixels, y * row.length);
  return new Uint8Array(
    Buffer.concat([
      Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
      chunk("IHDR", header),
      chunk("IDAT", deflateSync(pixels, { level: 1 })),
      chunk("IEND", Buffer.alloc(0)),
    ]),
  );
}

/** A colour that differs between seeds. */
export function colourOf(seed: number): number {
  return (Math.abs(Math.trunc(seed)) * 2_654_435_761 + 0x3366cc) % 0x1000000;
}

/** A grey 8x8 JPEG, as the latent previews of a sampler are. */
export const JPEG_PREVIEW = new Uint8Array(
  Buffer.from(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERX" +
      "RTc4UG1RV19iZ2hnPk1xeXBkeFxlZ2P/wAALCAAIAAgBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAA" +
      "AAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AP//Z",
    "base64",
  ),
);

function chunk(type: string, body: Buffer): Buffer {
  const typed = Buffer.concat([Buffer.from(type, "latin1"), body]);
  const frame = Buffer.alloc(8 + typed.length);
  frame.writeUInt32BE(body.length, 0);
  typed.copy(frame, 4);
  frame.writeUInt32BE(crc32(typed), 4 + typed.length);
  return frame;
}
