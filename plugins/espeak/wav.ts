/** The header of a WAV file: RIFF, 16-bit PCM, one channel. */

export const WAV_HEADER_BYTES = 44;
export const BYTES_PER_SAMPLE = 2;

/** What stands before `samples` samples. All numbers are little-endian. */
export function wavHeader(samples: number, sampleRateHz: number): Uint8Array {
  const pcmBytes = samples * BYTES_PER_SAMPLE;
  const header = new Uint8Array(WAV_HEADER_BYTES);
  const view = new DataView(header.buffer);
  const ascii = (offset: number, text: string): void => {
    header.set(new TextEncoder().encode(text), offset);
  };
  ascii(0, "RIFF");
  view.setUint32(4, WAV_HEADER_BYTES - 8 + pcmBytes, true);
  ascii(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // length of the format chunk
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, sampleRateHz, true);
  view.setUint32(28, sampleRateHz * BYTES_PER_SAMPLE, true); // bytes per second
  view.setUint16(32, BYTES_PER_SAMPLE, true); // bytes per frame
  view.setUint16(34, BYTES_PER_SAMPLE * 8, true);
  ascii(36, "data");
  view.setUint32(40, pcmBytes, true);
  return header;
}
