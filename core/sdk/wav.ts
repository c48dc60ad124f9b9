/** WAV files as they are: how long they play, and several of one format made into one. */
import { BackendError } from "./errors.ts";

export interface Wav {
  readonly sampleRateHz: number;
  readonly channels: number;
  readonly seconds: number;
  /** The `fmt ` chunk's content: files with the same one can be joined. */
  readonly format: Uint8Array;
  /** The samples alone. */
  readonly samples: Blob;
}

/** A header that a server writes before it knows the length says 0 or this. */
const UNKNOWN_LENGTH = 0xffff_ffff;
/** Chunks before the samples are few and short; more means that it is no sound. */
const MAX_CHUNKS = 64;
/** The lengths in a header have 32 bits. */
const MAX_BYTES = 0xffff_ffff - 1024;

/** Undefined when it is no WAV file. Reads the headers only. */
export async function readWav(file: Blob): Promise<Wav | undefined> {
  if (name(await view(file, 0, 12), 0) !== "RIFF") return undefined;
  if (name(await view(file, 0, 12), 8) !== "WAVE") return undefined;
  let format: Uint8Array | undefined;
  for (let at = 12, count = 0; count < MAX_CHUNKS && at + 8 <= file.size; count++) {
    const head = await view(file, at, 8);
    const length = head.getUint32(4, true);
    const start = at + 8;
    if (name(head, 0) === "fmt ") {
      const bytes = await view(file, start, Math.min(length, 64));
      if (bytes.byteLength < 16) return undefined;
      format = new Uint8Array(bytes.buffer);
    }
    if (name(head, 0) === "data" && format !== undefined) {
      const isOpen = length === 0 || length === UNKNOWN_LENGTH;
      const end = isOpen ? file.size : Math.min(start + length, file.size);
      return describe(format, file.slice(start, end));
    }
    // Chunks of an odd length are followed by a byte that counts for nothing.
    at = start + length + (length % 2);
  }
  return undefined;
}

/** One file that plays the others one after the other, their samples untouched. */
export async function joinWav(files: readonly Blob[]): Promise<Blob> {
  const parts = await Promise.all(files.map(readWav));
  const [first] = parts;
  if (first === undefined) throw unlike("part 1 is no WAV file");
  const samples = parts.map((part, index) => {
    if (part === undefined) throw unlike(`part ${index + 1} is no WAV file`);
    if (!same(part.format, first.format)) {
      throw unlike(`part ${index + 1} has ${told(part)}, part 1 has ${told(first)}`);
    }
    return part.samples;
  });
  const bytes = samples.reduce((sum, { size }) => sum + size, 0);
  if (bytes > MAX_BYTES) throw unlike(`${bytes} bytes are more than a WAV file can hold`);
  const pad = new Uint8Array(bytes % 2);
  return new Blob([header(first.format, bytes), ...samples, pad], { type: "audio/wav" });
}

function describe(format: Uint8Array, samples: Blob): Wav | undefined {
  const fields = new DataView(format.buffer, format.byteOffset, format.byteLength);
  const bytesPerSecond = fields.getUint32(8, true);
  if (bytesPerSecond === 0) return undefined;
  return {
    channels: fields.getUint16(2, true),
    sampleRateHz: fields.getUint32(4, true),
    seconds: samples.size / bytesPerSecond,
    format,
    samples,
  };
}

function header(format: Uint8Array, bytes: number): ArrayBuffer {
  const head = new DataView(new ArrayBuffer(20 + format.byteLength + 8));
  write(head, 0, "RIFF", head.byteLength - 8 + bytes + (bytes % 2));
  write(head, 8, "WAVE");
  write(head, 12, "fmt ", format.byteLength);
  new Uint8Array(head.buffer).set(format, 20);
  write(head, 20 + format.byteLength, "data", bytes);
  return head.buffer;
}

function write(head: DataView, at: number, word: string, value?: number): void {
  for (const [index, letter] of [...word].entries())
    head.setUint8(at + index, letter.charCodeAt(0));
  if (value !== undefined) head.setUint32(at + 4, value, true);
}

async function view(file: Blob, start: number, length: number): Promise<DataView<ArrayBuffer>> {
  return new DataView(await file.slice(start, start + length).arrayBuffer());
}

function name(bytes: DataView, at: number): string {
  if (bytes.byteLength < at + 4) return "";
  return String.fromCharCode(...[0, 1, 2, 3].map((index) => bytes.getUint8(at + index)));
}

const same = (one: Uint8Array, other: Uint8Array): boolean =>
  one.byteLength === other.byteLength && one.every((byte, index) => byte === other[index]);

const told = ({ sampleRateHz, channels }: Wav): string =>
  `${sampleRateHz} Hz and ${channels} channel${channels === 1 ? "" : "s"}`;

const unlike = (why: string): BackendError =>
  new BackendError("BACKEND_BAD_OUTPUT", `the parts of the sound cannot be joined: ${why}`);
