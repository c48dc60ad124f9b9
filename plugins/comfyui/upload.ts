/** Brings the request's picture to ComfyUI. */
import { randomUUID } from "node:crypto";
import { type HttpClient, type Job, t } from "switchyard/sdk";
import type { Request } from "./input.ts";

/** Another name than the one sent: ComfyUI had other bytes under that one. */
const Stored = t.Object({ name: t.String({ minLength: 1 }), subfolder: t.String() });

const UPLOAD_MS = 120_000;

/**
 * What a LoadImage node calls it; undefined when there is none. Its name on the server is random:
 * ComfyUI keeps it for ever, and whoever may send a graph could load what they can name.
 */
export async function upload(job: Job<Request>, http: HttpClient): Promise<string | undefined> {
  const { init_image } = job.input;
  if (!init_image) return undefined;
  const { mediaType, blob } = await job.file(init_image);
  const form = new FormData();
  form.append("image", await blob(), `${randomUUID()}.${mediaType.replace(/^.*\//, "")}`);
  form.append("type", "input");
  form.append("subfolder", "switchyard");
  const options = { as: Stored, signal: job.signal, timeoutMs: UPLOAD_MS };
  const { name, subfolder } = await http.post("/upload/image", form, options);
  return subfolder === "" ? name : `${subfolder}/${name}`;
}
