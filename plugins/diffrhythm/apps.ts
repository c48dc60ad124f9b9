/** Two Gradio apps: that of the Hugging Face Space, and Xiaohan-Tian/DiffRhythm-web. */
import { BackendError, gradioApp, seedOf, type Transport } from "switchyard/sdk";
import { toLrc } from "./lrc.ts";
import { appProblem, type Input, secondsOf, styleOf } from "./request.ts";
import type { Settings } from "./settings.ts";

/** Parameters by which each is known. */
export const SPACE_NEEDS = ["lrc", "ref_audio_path"] as const;
export const WEB_NEEDS = ["genre_prompt", "lyrics", "ref_audio"] as const;

const DURATION = "Music_Duration";
const lengthName = (seconds: number): string => (seconds === 95 ? "95s" : "285s");

export const space: Transport<Settings, Input> = gradioApp<Settings, Input>({
  title: "DiffRhythm",
  endpoint: ["/infer_music", "/generate_music"],
  needs: SPACE_NEEDS,
  takes: ["seed", "randomize_seed", "steps", "cfg_strength", "file_type", DURATION],
  pinned: { randomize_seed: false, file_type: "wav" },
  arguments(input, { app, config, jobId }) {
    const seconds = secondsOf(input, config);
    const problem = appProblem(input, seconds);
    if (problem !== undefined) throw refused(problem);
    if (!app.has(DURATION) && seconds !== 95) {
      throw refused("duration_seconds: this release of the app makes songs of 95 seconds only");
    }
    return {
      // Without a value the app would sing the lyrics of its own example.
      lrc: toLrc(input.lyrics, seconds),
      ref_audio_path: input.init_audio,
      seed: input.seed ?? seedOf(jobId),
      steps: input.steps,
      ...(app.has("cfg_strength") && { cfg_strength: input.cfg }),
      ...(app.has(DURATION) && { [DURATION]: lengthName(seconds) }),
    };
  },
  outputs: [{ at: 0, name: "song" }],
  facts: (_input, { seed }) => ({ seed }),
});

export const web: Transport<Settings, Input> = gradioApp<Settings, Input>({
  title: "DiffRhythm web",
  endpoint: "/run_generation",
  needs: WEB_NEEDS,
  takes: ["length", "chunked_decoding", "steps", "cfg_strength"],
  pinned: { chunked_decoding: true },
  arguments: (input, { config }) => ({
    genre_prompt: styleOf(input) ?? "",
    lyrics: toLrc(input.lyrics, secondsOf(input, config)),
    length: lengthName(secondsOf(input, config)),
    ref_audio: input.init_audio,
    steps: input.steps,
    cfg_strength: input.cfg,
  }),
  outputs: [{ at: 1, name: "song" }],
  // It reports its errors as success: a text with the traceback, and no file.
  failure: ([text]) =>
    text === "Generation complete!" ? undefined : lastLine(String(text ?? "no reason")),
});

function refused(problem: string): BackendError {
  return new BackendError("BACKEND_REJECTED", problem);
}

const lastLine = (text: string): string => text.trim().split("\n").at(-1)?.trim() ?? "";
