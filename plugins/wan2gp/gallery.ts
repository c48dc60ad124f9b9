/** What WanGP made, on its way home: each file over an address that works once. */
import { extname } from "node:path";
import {
  type Artifact,
  BackendError,
  type HttpClient,
  type Job,
  type Static,
  t,
} from "switchyard/sdk";
import { callTool } from "./mcp.ts";

const MAX_FILES = 64;
export const TRANSFER_MS = 600_000;

const Download = t.Object({ download_url: t.String(), filename: t.String() });

export const Item = t.Object({
  gallery_id: t.String(),
  media_type: t.String(),
  settings: t.Optional(t.Object({ seed: t.Optional(t.Number()) })),
});
export type Item = Static<typeof Item>;

/** Stores every file of the gallery that a job made. */
export async function downloadAll(
  job: Job,
  http: HttpClient,
  items: readonly Item[],
  metadata: Record<string, unknown>,
): Promise<readonly Artifact[]> {
  const artifacts: Artifact[] = [];
  for (const { gallery_id, media_type } of items.slice(0, MAX_FILES)) {
    const { download_url, filename } = await callTool(
      http,
      "wangp_create_gallery_download",
      { gallery_id },
      { as: Download, signal: job.signal },
    );
    const path = ownPath(download_url, "download");
    const response = await http.fetch(path, { signal: job.signal, timeoutMs: TRANSFER_MS });
    const mediaType = response.headers.get("content-type") ?? undefined;
    if (/html|json/.test(mediaType ?? "")) {
      await response.body?.cancel();
      throw new BackendError("BACKEND_BAD_OUTPUT", `WanGP gave ${mediaType} in place of a file`);
    }
    // WanGP's own name holds the prompt.
    const name = `${media_type.replace(/\W/g, "").slice(0, 20)}${extname(filename)}`;
    artifacts.push(await job.artifact(response, { name, mediaType, metadata }));
  }
  return artifacts;
}

/** Whatever host the address names, it is asked for below our own base URL. */
export function ownPath(address: string, what: "upload" | "download"): string {
  const path = URL.canParse(address, "http://wangp")
    ? new URL(address, "http://wangp").pathname
    : "";
  if (new RegExp(`^/wangp_api/gallery/${what}/[A-Za-z0-9_-]+$`).test(path)) return path;
  throw new BackendError("BACKEND_BAD_OUTPUT", `WanGP names no place of its own for a file`);
}
