/** A few of WanGP's models, as its tools describe them. */
import { mp4 } from "../../core/artifacts/samples.ts";

export interface Model {
  readonly name: string;
  readonly makes: "video" | "image" | "audio";
  readonly start: boolean;
  readonly end: boolean;
  readonly voice: boolean;
  /** Its weights are not on the disk. */
  readonly missing: boolean;
  readonly settings: Readonly<Record<string, unknown>>;
}

const model = (makes: Model["makes"], name: string, more: Partial<Model> = {}): Model => ({
  name,
  makes,
  start: false,
  end: false,
  voice: false,
  missing: false,
  settings: {},
  ...more,
});

export const MODELS: Readonly<Record<string, Model>> = {
  "t2v_1.3B": model("video", "Wan2.1 Text2video 1.3B", {
    settings: { guidance_scale: 5, flow_shift: 3, sample_solver: "unipc", image_start: null },
  }),
  i2v_2_2: model("video", "Wan2.2 Image2video 14B", { start: true, end: true }),
  ltx2_22B_distilled: model("video", "LTX-2 2.3 Distilled", { start: true, missing: true }),
  z_image: model("image", "Z-Image Turbo"),
  stable_audio3_medium: model("audio", "Music Stable Audio 3 Medium"),
  ace_step_v1_5: model("audio", "Music ACE-Step v1.5 Turbo 2B", { settings: { alt_prompt: "" } }),
  chatterbox: model("audio", "TTS Chatterbox Multilingual", {
    voice: true,
    settings: { temperature: 0.8, model_mode: "en" },
  }),
  ...Object.fromEntries(
    Array.from({ length: 9 }, (_, index) => [`finetune_${index}`, model("video", `Tune ${index}`)]),
  ),
};

export function metadataOf(model_type: string): Record<string, unknown> | undefined {
  const found = MODELS[model_type];
  if (found === undefined) return undefined;
  const { name, makes, start, end, voice } = found;
  return {
    model_type,
    name,
    family: "wan",
    family_label: "Wan",
    main_output: [makes],
    outputs: [makes],
    inputs: ["text"],
    media_inputs: {
      image: { start, end, reference: false },
      audio: { prompt: voice, output: false },
    },
    fps: makes === "video" ? 16 : null,
    frames_minimum: 5,
    frames_steps: 4,
  };
}

/** The least that passes for a file of the kind. */
export const BYTES: Readonly<Record<Model["makes"], Uint8Array>> = {
  video: mp4(),
  image: Buffer.from(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489" +
      "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082",
    "hex",
  ),
  audio: Buffer.from(
    "524946462c00000057415645666d74201000000001000100401f0000803e00000200100064617461" +
      "080000000100020003000400",
    "hex",
  ),
};
export const ENDINGS = { video: "mp4", image: "png", audio: "wav" } as const;
export const TYPES = { video: "video/mp4", image: "image/png", audio: "audio/wav" } as const;
