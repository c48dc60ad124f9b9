/** Small WAV files whose samples tell what was spoken. */

/** 16-bit mono; each character of the text is one sample, its code. */
export function wavOf(text: string, rateHz = 24_000): Uint8Array {
  const samples = Int16Array.from([...text].map((letter) => (letter.codePointAt(0) ?? 0) & 0x7fff));
  const head = Buffer.alloc(44);
  head.write("RIFF", 0);
  head.writeUInt32LE(36 + samples.byteLength, 4);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rateHz, 24);
  head.writeUInt32LE(rateHz * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36);
  head.writeUInt32LE(samples.byteLength, 40);
  return Buffer.concat([head, Buffer.from(samples.buffer)]);
}

/** What `wavOf` was given, for files whose header has 44 bytes. */
export function textOf(wav: Uint8Array): string {
  const samples = new Int16Array(wav.slice(44, 44 + 2 * Math.floor((wav.length - 44) / 2)).buffer);
  return String.fromCodePoint(...samples);
}
