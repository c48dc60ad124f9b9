/**
 * What the first bytes of a picture or a sound say about it, for the artifact's metadata. Pure;
 * what is not certain is left out.
 */

/** The properties stand before the picture's data. */
const AVIF_HEADER_BYTES = 16 * 1024;

export interface Measures {
  readonly width?: number;
  readonly height?: number;
  readonly duration_seconds?: number;
}

/** `head` is a first part of the file; a JPEG's size may stand behind 64 KiB of camera notes. */
export function measure(mediaType: string, head: Uint8Array, sizeBytes: number): Measures {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  try {
    switch (mediaType) {
      case "image/png":
        return { width: view.getUint32(16), height: view.getUint32(20) };
      case "image/jpeg":
        return measureJpeg(view);
      case "image/webp":
        return measureWebp(view);
      case "image/gif":
        return { width: view.getUint16(6, true), height: view.getUint16(8, true) };
      case "image/avif":
        return measureAvif(view);
      case "audio/wav":
        return measureWav(view, sizeBytes);
      default:
        return {};
    }
  } catch (error) {
    // The head ended before the answer.
    if (error instanceof RangeError) return {};
    throw error;
  }
}

function measureJpeg(view: DataView): Measures {
  let at = 2;
  for (;;) {
    if (view.getUint8(at) !== 0xff) return {};
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    // SOF0 to SOF15, without the three that are tables (DHT, JPG, DAC).
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
    }
    // The picture's data begin; there was no frame header.
    if (marker === 0xda || marker === 0xd9) return {};
    at += 2 + view.getUint16(at + 2);
  }
}

function measureWebp(view: DataView): Measures {
  const kind = ascii(view, 12);
  if (kind === "VP8X") {
    const uint24 = (at: number) => view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    return { width: uint24(24) + 1, height: uint24(27) + 1 };
  }
  if (kind === "VP8L") {
    const bits = view.getUint32(21, true);
    return { width: (bits & 0x3fff) + 1, height: ((bits >> 14) & 0x3fff) + 1 };
  }
  if (kind !== "VP8 ") return {};
  return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
}

/**
 * The largest "ispe" property: of the picture itself where it is one, and of the whole where it is
 * put together from tiles.
 */
function measureAvif(view: DataView): Measures {
  let width = 0;
  let height = 0;
  const end = Math.min(view.byteLength - 20, AVIF_HEADER_BYTES);
  for (let at = 4; at < end; at += 1) {
    // A box of 20 bytes: size, name, version and flags, width, height.
    if (view.getUint8(at) !== 0x69 || ascii(view, at) !== "ispe") continue;
    if (view.getUint32(at - 4) !== 20) continue;
    const [across, down] = [view.getUint32(at + 8), view.getUint32(at + 12)];
    if (across * down > width * height) [width, height] = [across, down];
  }
  return width > 0 && height > 0 ? { width, height } : {};
}

function measureWav(view: DataView, sizeBytes: number): Measures {
  let bytesPerSecond = 0;
  for (let at = 12; ; ) {
    const kind = ascii(view, at);
    const length = view.getUint32(at + 4, true);
    if (kind === "fmt ") bytesPerSecond = view.getUint32(at + 16, true);
    if (kind === "data") {
      if (bytesPerSecond === 0) return {};
      // A stream's header does not know the length; the file's size does.
      const dataBytes = Math.min(length || Number.POSITIVE_INFINITY, sizeBytes - at - 8);
      return { duration_seconds: Math.round((dataBytes / bytesPerSecond) * 1000) / 1000 };
    }
    // Chunks begin at even offsets.
    at += 8 + length + (length % 2);
  }
}

function ascii(view: DataView, at: number): string {
  return String.fromCharCode(...[0, 1, 2, 3].map((index) => view.getUint8(at + index)));
}
