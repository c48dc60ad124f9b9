/** Finds the files that a prompt made, and brings them home. */
import {
  type Artifact,
  BackendError,
  type HttpClient,
  type Job,
  matches,
  type Static,
  t,
} from "switchyard/sdk";

const File = t.Object({
  filename: t.String({ minLength: 1 }),
  subfolder: t.Optional(t.String()),
  type: t.String(),
});
export type File = Static<typeof File>;

const Outputs = t.Record(t.String(), t.Record(t.String(), t.Unknown()));

/**
 * Every list of files under any key: nodes call them `images`, `gifs`, `audio` or what they like,
 * and a video may stand under `images`. `nodes` names the result's nodes; empty for all.
 */
export function filesOf(outputs: unknown, nodes: readonly string[]): readonly File[] {
  if (!matches(Outputs, outputs)) return [];
  const files = Object.entries(outputs)
    .filter(([node]) => nodes.length === 0 || nodes.includes(node))
    .flatMap(([, lists]) => Object.values(lists))
    .filter((list) => Array.isArray(list))
    .flatMap((list: unknown[]) => list.filter((item) => matches(File, item)));
  // What was only made for the eye of ComfyUI's own user is left out, unless there is nothing else.
  const kept = files.filter(({ type }) => type !== "temp");
  return kept.length > 0 ? kept : files;
}

/** Stores every file; BACKEND_BAD_OUTPUT when there is none, or when one is gone. */
export async function collect(
  job: Job,
  http: HttpClient,
  files: readonly File[],
  metadata: Record<string, unknown>,
): Promise<readonly Artifact[]> {
  if (files.length === 0) {
    const message = "ComfyUI reports success but made no file; does the workflow save its result?";
    throw new BackendError("BACKEND_BAD_OUTPUT", message);
  }
  const artifacts: Artifact[] = [];
  for (const file of files) {
    const response = await open(http, file, job.signal);
    const mediaType = response.headers.get("content-type") ?? undefined;
    artifacts.push(await job.artifact(response, { name: file.filename, mediaType, metadata }));
  }
  return artifacts;
}

async function open(http: HttpClient, file: File, signal: AbortSignal): Promise<Response> {
  const { filename, subfolder = "", type } = file;
  try {
    const response = await http.fetch("/view", { query: { filename, subfolder, type }, signal });
    const isPage = /html/i.test(response.headers.get("content-type") ?? "");
    if (!isPage || /\.html?$/i.test(filename)) return response;
    await response.body?.cancel();
    const message = `ComfyUI sent a web page in place of the file ${filename}`;
    throw new BackendError("BACKEND_BAD_OUTPUT", message);
  } catch (cause) {
    if (!BackendError.is(cause) || cause.code !== "BACKEND_REJECTED") throw cause;
    const message = `ComfyUI names the file ${filename} but no longer has it`;
    throw new BackendError("BACKEND_BAD_OUTPUT", message, { cause });
  }
}
