/** The two programs with a Gradio page. Both call their endpoint /generate; the inputs differ. */
import {
  type GradioApp,
  type GradioParameter,
  gradioApp,
  seedOf,
  type Transport,
} from "switchyard/sdk";
import type { Request } from "./input.ts";
import type { Settings } from "./settings.ts";

type App = GradioApp<Settings, Request>;

/** Inputs of /generate that the other one does not have. */
export const TOOLS_MARKS = ["seconds_start", "sigma_min"] as const;
export const THREE_MARKS = ["apg_scale", "duration_padding_sec"] as const;

/** With other values the prompt gets into a shell command on the server's machine. */
const PINNED = { file_naming: "output.wav", file_format: "wav" };

export const tools = server("stable-audio-tools", TOOLS_MARKS);
export const three = server("Stable Audio 3", THREE_MARKS);

/** What of the marks is not there, in words. */
export function lacking(
  marks: readonly string[],
  has: (name: string) => boolean,
): string | undefined {
  const absent = marks.filter((mark) => !has(mark));
  return absent.length === 0 ? undefined : `no ${absent.join(", ")} among the inputs of /generate`;
}

function server(title: string, marks: readonly string[]): Transport<Settings, Request> {
  return gradioApp(({ username, password }: Settings) => ({
    title,
    endpoint: "/generate",
    needs: ["prompt", "seconds_total"],
    refuse: ({ has }) => lacking(marks, has),
    takes: ["negative_prompt", "cfg_scale", "steps", "seed", "init_audio", "init_noise_level"],
    arguments: argumentsOf,
    pinned: PINNED,
    outputs: [
      { at: 0, name: "audio" },
      { at: 1, name: "spectrogram", role: "preview", required: false },
    ],
    facts: (_input, { seed, seconds_total }) => ({
      seed: Number(seed),
      ...(seconds_total === undefined ? {} : { duration_seconds: seconds_total }),
    }),
    ...(username === undefined ? {} : { login: { username, password: password ?? "" } }),
  }));
}

function argumentsOf(input: Request, { app, jobId }: Parameters<App["arguments"]>[1]) {
  const { init_audio, strength } = input;
  const noise =
    init_audio && strength !== undefined ? app.parameter("init_noise_level") : undefined;
  return {
    prompt: input.prompt,
    negative_prompt: input.negative_prompt,
    seconds_total: input.duration_seconds,
    cfg_scale: input.cfg,
    steps: input.steps,
    seed: input.seed ?? seedOf(jobId),
    init_audio,
    // Releases before 2025 start from a sound only when they are told to.
    ...(app.has("use_init") ? { use_init: init_audio !== undefined } : {}),
    ...(noise === undefined ? {} : { init_noise_level: noiseLevel(noise, strength ?? 1) }),
  };
}

/**
 * The level of noise for a share of change from 0 to 1. Models of the newer kind take the share
 * itself; the others a deviation from 0.1 to 100, which is felt by its order of magnitude.
 */
function noiseLevel({ schema }: GradioParameter, strength: number): number {
  const minimum: number = schema?.minimum ?? 0.01;
  const maximum: number = schema?.maximum ?? 1;
  if (maximum <= 1) return Math.min(Math.max(strength, minimum), maximum);
  return Number((minimum * (maximum / minimum) ** strength).toFixed(4));
}
