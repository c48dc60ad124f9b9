/** The tools that WanGP serves, as far as the gateway calls them. */
import type { Jobs, Stored } from "./jobs.ts";
import { MODELS, metadataOf } from "./models.ts";

export type Arguments = Readonly<Record<string, unknown>>;

export interface ToolOptions {
  readonly jobs: Jobs;
  readonly gallery: ReadonlyMap<string, Stored>;
  /** File names by the token of an address that works once. */
  readonly uploads: Map<string, string>;
  readonly downloads: Map<string, string>;
}

/** `list`: the answer comes inside of `{ result }`, and as a block of text for each item. */
export type Answer = { readonly value: unknown; readonly list?: true };
export type Tools = Readonly<Record<string, (args: Arguments) => Answer>>;

const MEDIA = ["image_start", "image_end", "audio_guide"];

export function createTools({ jobs, gallery, uploads, downloads }: ToolOptions): Tools {
  const token = () => crypto.randomUUID().replaceAll("-", "");
  const found = (id: unknown) => {
    const work = jobs.find(id);
    if (work === undefined) throw new Error(`'Unknown WanGP job_id: ${id}'`);
    return work;
  };
  return {
    wangp_generate({ source, event_limit }) {
      const settings = source as Readonly<Record<string, unknown>>;
      for (const key of MEDIA) {
        const reference = settings[key];
        if (typeof reference !== "string" || gallery.has(reference)) continue;
        throw new Error(`Direct filesystem paths are disabled for this MCP server: ${key}.`);
      }
      return { value: jobs.snapshot(jobs.submit(settings), event_limit) };
    },
    wangp_get_job: ({ job_id, event_limit }) => ({
      value: jobs.snapshot(found(job_id), event_limit),
    }),
    wangp_cancel_job({ job_id, event_limit }) {
      const work = found(job_id);
      work.cancelRequested = true;
      return { value: jobs.snapshot(work, event_limit) };
    },
    wangp_list_models({ limit = 10, offset = 0 }) {
      const [count, start] = [Math.min(Number(limit), 10), Number(offset)];
      const page = Object.keys(MODELS).slice(start, start + count);
      const value = page.map((name) => ({ ...metadataOf(name), availability: availability(name) }));
      return { value, list: true };
    },
    wangp_get_model_schema({ model_type }) {
      const metadata = metadataOf(String(model_type));
      return { value: metadata === undefined ? null : { metadata }, list: true };
    },
    wangp_get_model_availability({ model_type }) {
      if (MODELS[String(model_type)] === undefined) throw new Error(`Unknown model_type`);
      return { value: availability(String(model_type)) };
    },
    wangp_get_default_settings({ model_type }) {
      const model = MODELS[String(model_type)];
      if (model === undefined) throw new Error(`Unknown model_type: ${model_type}`);
      return { value: { model_type, prompt: "", video_length: 81, ...model.settings } };
    },
    wangp_create_gallery_upload({ filename }) {
      if (!/\.(png|jpe?g|webp|wav|mp3|flac|ogg|m4a|mp4)$/.test(String(filename))) {
        throw new Error("filename must have a supported image, video, or audio extension");
      }
      const name = token();
      uploads.set(name, String(filename));
      const upload_url = `/wangp_api/gallery/upload/${name}`;
      return { value: { upload_url, method: "PUT", filename, expires_in_seconds: 600 } };
    },
    wangp_create_gallery_download({ gallery_id }) {
      const stored = gallery.get(String(gallery_id));
      if (stored === undefined) throw new Error(`'Unknown WanGP gallery_id: ${gallery_id}'`);
      const name = token();
      downloads.set(name, String(gallery_id));
      const download_url = `/wangp_api/gallery/download/${name}`;
      const filename = stored.path.split("/").at(-1);
      return { value: { gallery_id, download_url, filename, expires_in_seconds: 600 } };
    },
  };
}

function availability(model_type: string) {
  const isMissing = MODELS[model_type]?.missing ?? true;
  const status = isMissing ? "missing" : "available";
  return { model_type, status, status_code: isMissing ? 0 : 2, available: !isMissing };
}
