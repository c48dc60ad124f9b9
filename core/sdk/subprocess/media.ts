/** Endings of files and media types, of what programs read and write. */
import { extname } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  wav: "audio/wav",
  mp3: "audio/mpeg",
  flac: "audio/flac",
  ogg: "audio/ogg",
  opus: "audio/opus",
  m4a: "audio/mp4",
  png: "image/png",
  jpg: "image/jpeg",
  webp: "image/webp",
  gif: "image/gif",
  mp4: "video/mp4",
  webm: "video/webm",
  mov: "video/quicktime",
  mkv: "video/x-matroska",
  json: "application/json",
  txt: "text/plain",
};
const ALIASES: Readonly<Record<string, string>> = {
  "audio/x-wav": "wav",
  "audio/vnd.wave": "wav",
  "audio/wave": "wav",
  "audio/mp3": "mp3",
  "audio/x-flac": "flac",
};

/** Of a file whose media type was found in its bytes; never a client's own ending. */
export function endingOf(mediaType: string): string {
  const plain = mediaType.split(";")[0]?.trim().toLowerCase() ?? "";
  const known = Object.entries(TYPES).find(([, type]) => type === plain)?.[0];
  return ALIASES[plain] ?? known ?? "bin";
}

/** What a program claims with the ending it chose. */
export function typeOf(path: string): string | undefined {
  return TYPES[extname(path).slice(1).toLowerCase()];
}
