/** The kinds of work, and what a request of each may say. */
import { inputs, type Static, t } from "switchyard/sdk";
import type { Settings } from "./settings.ts";

export const videoInput = inputs.video;
export const imageInput = t.Pick(inputs.image, [
  ...(["prompt", "negative_prompt", "model", "width", "height", "steps", "cfg", "seed"] as const),
  "options",
]);
const sound = ["prompt", "model", "duration_seconds", "steps", "cfg", "seed", "format"] as const;
export const audioInput = t.Pick(inputs.audio, [...sound, "negative_prompt", "options"]);
export const musicInput = t.Pick(inputs.music, [...sound, "style", "lyrics", "options"]);
export const speechInput = t.Pick(inputs.speech, [
  ...(["text", "model", "seed", "voice_sample", "format", "options"] as const),
]);

/** Every field that a request of any kind may have. */
export type Request = Partial<
  Static<typeof videoInput> &
    Static<typeof imageInput> &
    Static<typeof audioInput> &
    Static<typeof musicInput> &
    Static<typeof speechInput>
>;

/** Where the operator names the model of a kind, and what a model must give for it. */
const KINDS = {
  "video.generate": { setting: "model", output: "video" },
  "image.generate": { setting: "image_model", output: "image" },
  "audio.generate": { setting: "audio_model", output: "audio" },
  "music.generate": { setting: "music_model", output: "audio" },
  "speech.synthesize": { setting: "speech_model", output: "audio" },
} as const;
export type Kind = keyof typeof KINDS;

export const kinds = Object.keys(KINDS).filter((name): name is Kind => name in KINDS);

export function offers(config: Settings): readonly Kind[] {
  return kinds.filter((kind) => config[KINDS[kind].setting] !== undefined);
}

export const outputOf = (kind: Kind): "video" | "image" | "audio" => KINDS[kind].output;

export function modelOf(kind: Kind, { model }: Request, config: Settings): string {
  return model ?? config[KINDS[kind].setting] ?? config.model;
}

/** NumPy, which WanGP seeds too, takes no more. */
const MAX_SEED = 2 ** 32 - 1;

export function refusal(request: Request): string | undefined {
  const { width, height, seed = 0 } = request;
  if ((width === undefined) !== (height === undefined)) {
    return "width, height: WanGP takes both or neither";
  }
  return seed > MAX_SEED ? `seed: WanGP takes at most ${MAX_SEED}` : undefined;
}
