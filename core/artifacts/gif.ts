/** How long an animated GIF takes once through: the sum of its frames' delays. */

export type ReadBytes = (first: number, end: number) => Promise<Uint8Array>;

const CHUNK_BYTES = 256 * 1024;
const HEADER_BYTES = 13;
const IMAGE = 0x2c;
const EXTENSION = 0x21;
const GRAPHIC_CONTROL = 0xf9;

/** Undefined for a still picture, and for a file whose blocks make no sense. */
export async function gifSeconds(sizeBytes: number, read: ReadBytes): Promise<number | undefined> {
  let chunk = new Uint8Array(0);
  let chunkAt = 0;
  async function byte(at: number): Promise<number> {
    if (at >= sizeBytes) throw new RangeError("the GIF ends in the middle of a block");
    if (at < chunkAt || at >= chunkAt + chunk.length) {
      chunk = new Uint8Array(await read(at, Math.min(sizeBytes, at + CHUNK_BYTES)));
      chunkAt = at;
    }
    return chunk[at - chunkAt] ?? 0;
  }
  /** A table of colours has 2 to 256 entries of three bytes; the flags say how many. */
  const tableBytes = (flags: number) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  async function afterBlocks(start: number): Promise<number> {
    let at = start;
    for (let length = await byte(at); length > 0; length = await byte(at)) at += 1 + length;
    return at + 1;
  }

  let hundredths = 0;
  let frames = 0;
  let at = HEADER_BYTES + tableBytes(await byte(10));
  while (at < sizeBytes) {
    const kind = await byte(at);
    if (kind === IMAGE) {
      frames += 1;
      // Its place and flags, a table of its own, the least code size, then the data.
      at = await afterBlocks(at + 11 + tableBytes(await byte(at + 9)));
    } else if (kind === EXTENSION) {
      if ((await byte(at + 1)) === GRAPHIC_CONTROL) {
        hundredths += (await byte(at + 4)) + 256 * (await byte(at + 5));
      }
      at = await afterBlocks(at + 2);
    } else break;
  }
  return frames > 1 && hundredths > 0 ? hundredths / 100 : undefined;
}
