/** Sound files that the stand-ins of music servers give: short, and of their format. */

/** A tenth of a second of a tone, 16 bit, one channel. */
export function wavBytes(seconds = 0.1, sampleRate = 8_000): Uint8Array<ArrayBuffer> {
  const samples = Math.max(1, Math.round(seconds * sampleRate));
  const bytes = new Uint8Array(44 + samples * 2);
  const view = new DataView(bytes.buffer);
  const word = (at: number, text: string): void =>
    void bytes.set(new TextEncoder().encode(text), at);
  word(0, "RIFF");
  view.setUint32(4, 36 + samples * 2, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, sampleRate * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  word(36, "data");
  view.setUint32(40, samples * 2, true);
  for (let index = 0; index < samples; index++) {
    const height = Math.sin((index / sampleRate) * 440 * 2 * Math.PI) * 8_000;
    view.setInt16(44 + index * 2, height, true);
  }
  return bytes;
}

/** Silent frames of MPEG 1 Layer III, 128 kbit/s, 44.1 kHz. */
export function mp3Bytes(frames = 4): Uint8Array<ArrayBuffer> {
  const length = 417;
  const bytes = new Uint8Array(frames * length);
  for (let frame = 0; frame < frames; frame++) {
    bytes.set([0xff, 0xfb, 0x90, 0x00], frame * length);
  }
  return bytes;
}

/** The head of a FLAC file of one block; enough to be told from others. */
export function flacBytes(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(42);
  // "fLaC", then a last block STREAMINFO of 34 bytes: 48 kHz, two channels, 16 bit.
  bytes.set([0x66, 0x4c, 0x61, 0x43, 0x80, 0x00, 0x00, 0x22]);
  bytes.set([0x10, 0x00, 0x10, 0x00, 0, 0, 0, 0, 0, 0, 0x0b, 0xb8, 0x02, 0xf0], 8);
  return bytes;
}
