/** Brings the files home that AllTalk made, and makes one of them. */
import { BackendError, type HttpClient, type Job, joinWav, readWav } from "switchyard/sdk";

/** About two hours of XTTS's sound, in all parts together: they lie in memory. */
const MAX_BYTES = 512 * 1024 * 1024;

/** Of what AllTalk makes where its operator lets it convert. */
const ENDINGS: Readonly<Record<string, string>> = {
  "audio/mpeg": "mp3",
  "audio/flac": "flac",
  "audio/ogg": "ogg",
  "audio/opus": "opus",
  "audio/aac": "aac",
};

/** The file's path below our own base URL: the host that version 1 names is its own idea. */
export function pathOf(url: string): string {
  const path = URL.canParse(url, "http://alltalk") ? new URL(url, "http://alltalk").pathname : "";
  if (/^\/audio(cache)?\/[^/]+$/.test(path)) return path;
  throw new BackendError(
    "BACKEND_BAD_OUTPUT",
    `AllTalk names no file of its own: ${url.slice(0, 100)}`,
  );
}

export async function downloadAll(
  http: HttpClient,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<readonly Blob[]> {
  const sounds: Blob[] = [];
  let left = MAX_BYTES;
  for (const path of paths) {
    const sound = await download(http, path, left, signal);
    left -= sound.size;
    sounds.push(sound);
  }
  return sounds;
}

async function download(
  http: HttpClient,
  path: string,
  most: number,
  signal: AbortSignal,
): Promise<Blob> {
  const response = await http.fetch(path, { signal }).catch((cause: unknown) => {
    if (!BackendError.is(cause) || cause.code !== "BACKEND_REJECTED") throw cause;
    throw new BackendError("BACKEND_BAD_OUTPUT", "AllTalk no longer has the file", { cause });
  });
  const type = response.headers.get("content-type")?.split(";")[0] ?? "";
  if (/html|json/.test(type)) {
    await response.body?.cancel();
    throw new BackendError("BACKEND_BAD_OUTPUT", `AllTalk gave ${type} in place of its sound`);
  }
  const pieces: BlobPart[] = [];
  let bytes = 0;
  for await (const piece of response.body ?? []) {
    bytes += piece.byteLength;
    if (bytes > most) {
      throw new BackendError("BACKEND_BAD_OUTPUT", `AllTalk made more than ${MAX_BYTES} bytes`);
    }
    pieces.push(new Uint8Array(piece));
  }
  if (bytes === 0) throw new BackendError("BACKEND_BAD_OUTPUT", "AllTalk made an empty file");
  return new Blob(pieces, { type: /^audio\//.test(type) ? type : "application/octet-stream" });
}

/** Stores the sounds as one file; what it gives is the job's output. */
export async function store(job: Job, sounds: readonly Blob[], facts: Record<string, unknown>) {
  const joined = await join(sounds);
  const wav = await readWav(joined);
  if (wav?.samples.size === 0) {
    throw new BackendError("BACKEND_BAD_OUTPUT", "AllTalk made a file without any sound");
  }
  const length = wav && { duration_seconds: Number(wav.seconds.toFixed(3)) };
  const metadata = { ...facts, ...length };
  const kind = wav ? "wav" : (ENDINGS[joined.type] ?? "bin");
  const options = { name: `speech.${kind}`, mediaType: wav ? "audio/wav" : joined.type, metadata };
  const artifact = await job.artifact(joined, options);
  return { files: [artifact.url], ...metadata };
}

async function join(sounds: readonly Blob[]): Promise<Blob> {
  const [first] = sounds;
  if (sounds.length === 1 && first !== undefined) return first;
  if (first === undefined || (await readWav(first)) !== undefined) return joinWav(sounds);
  const why = `AllTalk makes ${first.type}, of which the ${sounds.length} parts of this text`;
  const next = "set its transcode_audio_format to Disabled, or send a shorter text";
  throw new BackendError("BACKEND_REJECTED", `${why} cannot be joined; ${next}`);
}
