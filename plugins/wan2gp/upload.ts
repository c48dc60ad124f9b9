/** The files of a request on their way to WanGP, each over an address that works once. */
import { BackendError, type FileReference, type HttpClient, type Job, t } from "switchyard/sdk";
import { ownPath, TRANSFER_MS } from "./gallery.ts";
import type { Request } from "./input.ts";
import { callTool } from "./mcp.ts";
import type { Media } from "./task.ts";

/** WanGP goes by the ending, and takes only those it knows. */
const ENDINGS: Readonly<Record<string, string>> = {
  "image/png": "png",
  "image/jpeg": "jpg",
  "image/webp": "webp",
  "audio/wav": "wav",
  "audio/x-wav": "wav",
  "audio/mpeg": "mp3",
  "audio/flac": "flac",
  "audio/ogg": "ogg",
  "audio/mp4": "m4a",
};

const Upload = t.Object({ upload_url: t.String() });
const Uploaded = t.Object({ gallery_id: t.String() });

/** The request's files in WanGP's gallery, by their ids there. */
export async function uploadAll(job: Job<Request>, http: HttpClient): Promise<Media> {
  const { init_image, end_image, voice_sample } = job.input;
  const send = async (name: string, reference: FileReference | undefined) =>
    reference === undefined ? undefined : await upload(job, http, name, reference);
  return {
    start: await send("start", init_image),
    end: await send("end", end_image),
    voice: await send("voice", voice_sample),
  };
}

async function upload(
  { file, signal }: Job<Request>,
  http: HttpClient,
  name: string,
  reference: FileReference,
): Promise<string> {
  const { mediaType, blob } = await file(reference);
  const ending = ENDINGS[mediaType];
  if (ending === undefined) {
    throw new BackendError("BACKEND_REJECTED", `WanGP takes no files of type ${mediaType}`);
  }
  const args = { filename: `${name}.${ending}` };
  const { upload_url } = await callTool(http, "wangp_create_gallery_upload", args, {
    as: Upload,
    signal,
  });
  const limits = { method: "PUT", as: Uploaded, signal, timeoutMs: TRANSFER_MS } as const;
  const { gallery_id } = await http.post(ownPath(upload_url, "upload"), await blob(), limits);
  return gallery_id;
}
