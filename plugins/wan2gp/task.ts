/** A request as WanGP's settings: the same JSON for its server and for its command line. */

import { type Kind, modelOf, type Request } from "./input.ts";
import { knobsOf } from "./knobs.ts";
import type { Settings } from "./settings.ts";

/** The files of a request, as WanGP knows them: an id of its gallery, or a path. */
export interface Media {
  readonly start?: string | undefined;
  readonly end?: string | undefined;
  readonly voice?: string | undefined;
}

export type Task = Readonly<Record<string, unknown>>;

/** What no request can change. */
const PINNED = {
  // The whole text is one prompt; unless told so, WanGP makes a video of each paragraph.
  multi_prompts_gen_type: "FG",
  repeat_generation: 1,
  batch_size: 1,
  // Else a template for the names of files.
  output_filename: "",
};

export function taskOf(kind: Kind, request: Request, config: Settings, media: Media = {}): Task {
  const { width, height, steps, cfg, seed, fps, negative_prompt, options = {} } = request;
  const task = {
    ...knobsOf(options),
    model_type: modelOf(kind, request, config),
    ...words(kind, request),
    negative_prompt,
    num_inference_steps: steps,
    guidance_scale: cfg,
    seed: seed ?? -1,
    resolution: width !== undefined && height !== undefined ? `${width}x${height}` : undefined,
    ...length(kind, request),
    force_fps: fps === undefined ? undefined : String(fps),
    ...files(media),
    ...(kind === "image.generate" && { image_mode: 1 }),
    ...(kind === "video.generate" && { image_mode: 0 }),
    ...PINNED,
  };
  return Object.fromEntries(Object.entries(task).filter(([, value]) => value !== undefined));
}

/** Models that sing take the lyrics as the prompt, and the style beside it. */
function words(kind: Kind, { prompt = "", text, style, lyrics }: Request): Task {
  if (kind === "speech.synthesize") return { prompt: text };
  if (kind !== "music.generate") return { prompt };
  return { prompt: lyrics ?? "[Instrumental]", alt_prompt: style ?? prompt };
}

function length(kind: Kind, { duration_seconds }: Request): Task {
  if (duration_seconds === undefined) return {};
  // WanGP makes frames of seconds, as many as the model can.
  return kind === "video.generate"
    ? { video_length: `${duration_seconds}s` }
    : { duration_seconds };
}

/** The letters say which files count; WanGP looks at no other. */
function files({ start, end, voice }: Media): Task {
  const letters = `${start === undefined ? "" : "S"}${end === undefined ? "" : "E"}`;
  return {
    image_start: start,
    image_end: end,
    ...(letters !== "" && { image_prompt_type: letters }),
    audio_guide: voice,
    ...(voice !== undefined && { audio_prompt_type: "A" }),
  };
}
