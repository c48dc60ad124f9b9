/** Files to and from a Gradio server. Its own URLs are not trusted: they are made of what it hears. */
import { BackendError } from "../errors.ts";
import type { Artifact, InputFile, Job } from "../job.ts";
import { matches } from "../shape.ts";
import type { Link } from "./connect.ts";
import type { GradioOutput } from "./types.ts";
import { FileData, Uploaded } from "./wire.ts";

const UPLOAD_TIMEOUT_MS = 300_000;
const MAX_FILES = 64;
const DEPTH = 6;
/** Values that are looked at: an answer of megabytes must not hold the gateway up. */
const MAX_LOOKS = 20_000;
/** Programs switch on the ending, so a file without one gets that of its bytes. */
const ENDINGS: Readonly<Record<string, string>> = {
  "audio/wav": "wav",
  "audio/x-wav": "wav",
  "audio/mpeg": "mp3",
  "audio/flac": "flac",
  "audio/ogg": "ogg",
  "audio/opus": "opus",
  "audio/mp4": "m4a",
  "image/png": "png",
  "image/jpeg": "jpg",
  "image/webp": "webp",
  "video/mp4": "mp4",
  "video/webm": "webm",
};

/** As input values. The client's name stays here: only its ending goes along. */
export async function upload(
  { http, bound, title }: Link,
  files: readonly InputFile[],
  signal: AbortSignal,
): Promise<readonly unknown[]> {
  const form = new FormData();
  const names = files.map((file, place) => `input-${place + 1}.${endingOf(file)}`);
  for (const [place, file] of files.entries()) {
    form.append("files", await file.blob(), names[place]);
  }
  const options = { as: Uploaded, signal, timeoutMs: UPLOAD_TIMEOUT_MS };
  const paths = await http.post(`${bound.prefix}/upload`, form, options);
  if (paths.length !== files.length) {
    const message = `${title} answered an upload of ${files.length} files with ${paths.length}`;
    throw new BackendError("BACKEND_BAD_OUTPUT", message);
  }
  return paths.map((path, place) => ({
    path,
    orig_name: names[place],
    mime_type: files[place]?.mediaType ?? null,
    meta: { _type: "gradio.FileData" },
  }));
}

function endingOf({ name, mediaType }: InputFile): string {
  const own = /\.([a-z0-9]{1,8})$/i.exec(name)?.[1]?.toLowerCase();
  return own ?? ENDINGS[mediaType.split(";")[0]?.trim() ?? ""] ?? "bin";
}

/** Every file in a returned value, in its order: a file, a list, a gallery, a video. */
export function filesOf(value: unknown): readonly FileData[] {
  const found: FileData[] = [];
  let looks = 0;
  const search = (part: unknown, depth: number): void => {
    if (typeof part !== "object" || part === null || depth === 0) return;
    if (matches(FileData, part)) found.push(part);
    else if (Array.isArray(part)) searchAll(part, depth);
    else searchAll(Object.values(part), depth);
  };
  const searchAll = (parts: readonly unknown[], depth: number): void => {
    for (const inner of parts) {
      looks += 1;
      if (looks > MAX_LOOKS || found.length >= MAX_FILES) return;
      search(inner, depth - 1);
    }
  };
  search(value, DEPTH);
  return found;
}

/** Stores a file that the server named in its answer. */
export async function fetchFile<Input>(
  { http, bound, title }: Link,
  file: FileData,
  { name, role }: Pick<GradioOutput, "name" | "role">,
  job: Job<Input>,
  metadata: Record<string, unknown>,
): Promise<Artifact> {
  const response = await http
    .fetch(placeOf(bound.prefix, file.path, title), { signal: job.signal, timeoutMs: 60_000 })
    .catch((error: unknown) => Promise.reject(missing(error, title)));
  const isPage = /html/i.test(response.headers.get("content-type") ?? "");
  if (isPage && !/\.html?$/i.test(file.path)) {
    await response.body?.cancel().catch(() => {});
    const message = `${title} gave a page in place of the file that it made`;
    throw new BackendError("BACKEND_BAD_OUTPUT", message);
  }
  return job.artifact(response, {
    name: artifactName(file, name),
    ...(file.mime_type ? { mediaType: file.mime_type } : {}),
    ...(role === undefined ? {} : { role }),
    metadata,
  });
}

/** Below our own base URL, whatever the server says in `url`. */
function placeOf(prefix: string, path: string, title: string): string {
  const isElsewhere = /^[a-z][a-z0-9+.-]+:/i.test(path);
  const climbs = path.split(/[/\\]/).some((part) => /^\.{1,2}$/.test(part));
  if (isElsewhere || climbs) {
    const message = `${title} named a file that is none of its own: ${path.slice(0, 100)}`;
    throw new BackendError("BACKEND_BAD_OUTPUT", message);
  }
  // Half of a surrogate pair has no encoding, and would be an error without a class.
  return `${prefix}/file=${path.toWellFormed().split("/").map(encodeURIComponent).join("/")}`;
}

/** A refused or unknown file is the server's mistake, not the request's. */
function missing(error: unknown, title: string): unknown {
  const codes = ["BACKEND_REJECTED", "BACKEND_UNAUTHORIZED", "BACKEND_MISMATCH"];
  if (!BackendError.is(error) || !codes.includes(error.code)) return error;
  const message = `${title} does not give out the file that it made: ${error.message}`;
  return new BackendError("BACKEND_BAD_OUTPUT", message, { cause: error });
}

function artifactName({ orig_name, path }: FileData, name: string | undefined): string {
  const own = (orig_name || path).split(/[/\\]/).pop() || "output";
  const ending = /\.[a-z0-9]{1,8}$/i.exec(own)?.[0] ?? "";
  return name === undefined ? own : `${name}${ending}`;
}
