/**
 * Follows the top-level boxes of an ISO base media file (MP4, MOV, M4A) while its bytes pass by.
 */

export interface BoxWalk {
  feed(chunk: Uint8Array): void;
  /** Why the boxes are not a whole file; undefined when they are. */
  defect(): string | undefined;
}

const HEADER_BYTES = 16;
/** What such a file may begin with; anything else is not followed. */
const FIRST_BOXES = ["ftyp", "styp", "moov", "mdat", "wide", "free", "skip", "pnot"];

export function createBoxWalk(): BoxWalk {
  const header = new Uint8Array(HEADER_BYTES);
  let filled = 0;
  let position = 0;
  let nextBox = 0;
  let type = "";
  let lost = false;
  let hasMovie = false;

  /** Reads the header when it is complete: `nextBox` then points behind the box. */
  function readHeader(): void {
    const view = new DataView(header.buffer);
    const short = view.getUint32(0);
    if (filled < (short === 1 ? HEADER_BYTES : 8)) return;
    type = String.fromCharCode(...header.subarray(4, 8));
    if (nextBox === 0 && !FIRST_BOXES.includes(type)) lost = true;
    if (type === "moov") hasMovie = true;
    const size = short === 1 ? Number(view.getBigUint64(8)) : short;
    // 0 means "to the end of the file"; less than a header is no box at all.
    if (size < 8) lost = true;
    nextBox += size;
    filled = 0;
  }

  return {
    feed(chunk) {
      let at = 0;
      while (!lost && at < chunk.length) {
        const skip = Math.max(0, nextBox + filled - (position + at));
        at += skip;
        if (at >= chunk.length) break;
        header[filled++] = chunk[at++] ?? 0;
        if (filled >= 8) readHeader();
      }
      position += chunk.length;
    },
    defect() {
      if (!lost && nextBox > position) {
        return `its "${type}" box ends at byte ${nextBox}, the file at byte ${position}`;
      }
      return hasMovie || lost ? undefined : 'it has no "moov" box';
    },
  };
}
