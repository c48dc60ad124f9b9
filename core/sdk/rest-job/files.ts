/** Names of files: what a server gets and what a client sees, never by a client's own name. */

const ENDINGS: Readonly<Record<string, string>> = {
  "audio/mpeg": "mp3",
  "audio/mp3": "mp3",
  "audio/wav": "wav",
  "audio/x-wav": "wav",
  "audio/wave": "wav",
  "audio/vnd.wave": "wav",
  "audio/flac": "flac",
  "audio/x-flac": "flac",
  "audio/ogg": "ogg",
  "audio/opus": "opus",
  "audio/mp4": "m4a",
  "image/png": "png",
  "image/jpeg": "jpg",
  "image/webp": "webp",
  "image/gif": "gif",
  "video/mp4": "mp4",
  "video/webm": "webm",
  "text/plain": "txt",
  "application/json": "json",
};

/** "audio/mpeg" of "audio/mpeg; rate=44100". */
export function plainType(mediaType: string | null | undefined): string | undefined {
  const plain = mediaType?.split(";")[0]?.trim().toLowerCase();
  return plain === "" ? undefined : plain;
}

/** `name` with the ending of its type, or with that of the path it came from. */
export function fileName(name: string, mediaType: string | undefined, path = ""): string {
  const typed = ENDINGS[plainType(mediaType) ?? ""];
  const ending = typed ?? /\.([a-z0-9]{1,5})(?:[?#]|$)/i.exec(path)?.[1]?.toLowerCase();
  return ending === undefined ? name : `${name}.${ending}`;
}
