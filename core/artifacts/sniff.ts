/**
 * The media type of stored bytes. It comes from the bytes alone; what a backend declares may only
 * choose among types that look the same. What a browser could run becomes application/octet-stream.
 */

import type { AudioFormat } from "../sdk/formats.ts";

export const UNKNOWN_TYPE = "application/octet-stream";

const OGG_PAGE_BYTES = 128;

/** A type's look, and the declared types that the same look may have. */
interface Signature {
  readonly type: string;
  readonly also?: readonly string[];
  matches(head: Uint8Array): boolean;
}

const TEXT_TYPES = ["text/plain", "text/csv", "text/markdown", "text/vtt", "application/x-subrip"];
/** An object or a list; a lyrics file also begins with a bracket: "[00:12.00]". */
const JSON_START = /^(\{\s*["}]|\[\s*([[{"\]]|-?(0|[1-9]\d*)[\s,.\]eE]|true|false|null))/;

const JSON_VALUE = /^([[{"]|-?\d|true\b|false\b|null\b)/;

const SIGNATURES: readonly Signature[] = [
  { type: "image/png", matches: (head) => starts(head, "\x89PNG\r\n\x1a\n") },
  { type: "image/jpeg", matches: (head) => starts(head, "\xff\xd8\xff") },
  { type: "image/gif", matches: (head) => starts(head, "GIF87a") || starts(head, "GIF89a") },
  { type: "image/webp", matches: (head) => riff(head, "WEBP") },
  { type: "image/tiff", matches: (head) => starts(head, "II*\0") || starts(head, "MM\0*") },
  { type: "audio/wav", matches: (head) => riff(head, "WAVE") },
  { type: "video/x-msvideo", matches: (head) => riff(head, "AVI ") },
  { type: "image/avif", matches: isAvif },
  { type: "image/heic", matches: (head) => brand(head, "heic", "heix", "mif1", "msf1") },
  { type: "audio/mp4", matches: (head) => brand(head, "M4A ", "M4B ", "M4P ") },
  { type: "video/quicktime", matches: isQuickTime },
  // An audio-only file may carry a general brand.
  { type: "video/mp4", also: ["audio/mp4"], matches: (head) => box(head, "ftyp") },
  { type: "audio/flac", matches: (head) => starts(head, "fLaC") },
  { type: "audio/ogg", also: ["video/ogg", "audio/opus"], matches: (head) => starts(head, "OggS") },
  { type: "video/webm", also: ["audio/webm"], matches: (head) => ebml(head, "webm") },
  {
    type: "video/x-matroska",
    also: ["audio/x-matroska"],
    matches: (head) => ebml(head, "matroska"),
  },
  { type: "audio/midi", matches: (head) => starts(head, "MThd") },
  { type: "audio/mpeg", matches: (head) => starts(head, "ID3") || isMpegAudioFrame(head) },
  { type: "audio/aac", matches: isAdtsFrame },
  { type: "model/gltf-binary", matches: (head) => starts(head, "glTF") },
  { type: "application/pdf", matches: (head) => starts(head, "%PDF-") },
  { type: "application/zip", matches: (head) => starts(head, "PK\x03\x04") },
  { type: "application/gzip", matches: (head) => starts(head, "\x1f\x8b\x08") },
];

/**
 * `head`: the first bytes, at least 512 where the file has them. `declared` may carry parameters.
 */
export function mediaTypeOf(head: Uint8Array, declared?: string): string {
  const claim = essence(declared);
  const found = SIGNATURES.find((signature) => signature.matches(head));
  if (found) return found.also?.find((type) => type === claim) ?? found.type;
  const content = textStart(head);
  if (content === undefined || isMarkup(content)) return UNKNOWN_TYPE;
  if (claim === undefined || claim === UNKNOWN_TYPE) {
    return JSON_START.test(content) ? "application/json" : "text/plain";
  }
  if (isJsonType(claim)) return JSON_VALUE.test(content) ? claim : "text/plain";
  if (TEXT_TYPES.includes(claim)) return claim;
  return UNKNOWN_TYPE;
}

/** The audio format of such a file, for clients that asked for one; undefined for all others. */
export function audioFormatOf(mediaType: string, head: Uint8Array): AudioFormat | undefined {
  if (mediaType === "audio/wav") return "wav";
  if (mediaType === "audio/mpeg") return "mp3";
  if (mediaType === "audio/flac") return "flac";
  if (mediaType !== "audio/ogg" && mediaType !== "audio/opus") return undefined;
  // The first page of an Ogg file holds the first packet of its stream, which names the codec.
  const page = text(head, 0, OGG_PAGE_BYTES);
  if (page.includes("OpusHead")) return "opus";
  return page.includes("\x01vorbis") ? "ogg" : undefined;
}

/**
 * Why these bytes cannot be what the plugin asked for; undefined when they may be. An error page
 * that a backend sends with status 200 is text where a picture was expected.
 */
export function contradiction(head: Uint8Array, declared?: string): string | undefined {
  const claim = essence(declared);
  const known = SIGNATURES.some(({ type, also }) => type === claim || also?.includes(claim ?? ""));
  if (!known || !/^(image|audio|video)\//.test(claim ?? "")) return undefined;
  if (SIGNATURES.some((signature) => signature.matches(head))) return undefined;
  const content = textStart(head);
  if (content === undefined) return undefined;
  return `the backend sent text instead of ${claim}: "${content.slice(0, 80).trim()}"`;
}

/** Only what a browser shows without running it may be shown in place. */
export function mayShowInline(mediaType: string): boolean {
  return /^(image|audio|video)\/(?!svg)/.test(mediaType);
}

function essence(declared: string | undefined): string | undefined {
  return declared?.split(";")[0]?.trim().toLowerCase() || undefined;
}

const isJsonType = (type: string) => type === "application/json" || type === "application/x-ndjson";

/** Bytes as Latin-1, so that a string can stand for any bytes. */
function text(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}

function starts(head: Uint8Array, magic: string): boolean {
  return text(head, 0, magic.length) === magic;
}

function riff(head: Uint8Array, form: string): boolean {
  return starts(head, "RIFF") && text(head, 8, 12) === form;
}

/**
 * The first box of an ISO base media file; its size begins with a zero byte, which no text does.
 */
function box(head: Uint8Array, ...types: readonly string[]): boolean {
  return head[0] === 0 && types.includes(text(head, 4, 8));
}

function brand(head: Uint8Array, ...brands: readonly string[]): boolean {
  return box(head, "ftyp") && brands.includes(text(head, 8, 12));
}

function isAvif(head: Uint8Array): boolean {
  // A general brand first, the real one among the compatible brands.
  const compatible = brand(head, "mif1", "msf1") && text(head, 16, 48).includes("avif");
  return compatible || brand(head, "avif", "avis");
}

function isQuickTime(head: Uint8Array): boolean {
  // Files older than the brands begin with another box.
  return brand(head, "qt  ") || box(head, "moov", "mdat", "wide");
}

function ebml(head: Uint8Array, docType: string): boolean {
  return starts(head, "\x1a\x45\xdf\xa3") && text(head, 4, 64).includes(docType);
}

/** The header of an MPEG audio frame, layer II or III, with no reserved value in it. */
function isMpegAudioFrame(head: Uint8Array): boolean {
  const [sync = 0, version = 0, rates = 0] = head;
  const layer = (version >> 1) & 3;
  return (
    sync === 0xff &&
    (version & 0xe0) === 0xe0 &&
    ((version >> 3) & 3) !== 1 &&
    (layer === 1 || layer === 2) &&
    rates >> 4 !== 15 &&
    ((rates >> 2) & 3) !== 3
  );
}

function isAdtsFrame(head: Uint8Array): boolean {
  const [sync, version = 0] = head;
  return sync === 0xff && (version & 0xf6) === 0xf0;
}

/** The beginning without byte order mark and white space; undefined when it is no UTF-8 text. */
function textStart(head: Uint8Array): string | undefined {
  // Control bytes, apart from tab, line feed, form feed, carriage return and escape, mean binary.
  if (head.some((byte) => byte < 9 || byte === 11 || (byte > 13 && byte < 32 && byte !== 27))) {
    return undefined;
  }
  try {
    // `stream` forgives a character cut at the end of the head.
    return new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: true }).trimStart();
  } catch {
    return undefined;
  }
}

/** HTML, SVG and XML in any of their beginnings; a tag further down in text/plain is never run. */
function isMarkup(content: string): boolean {
  return /^<[!?/a-z]/i.test(content);
}
