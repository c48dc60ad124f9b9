/** The two demo programs with a Gradio page; both call their endpoint /predict_full. */
import { type GradioApp, type GradioServer, gradioApp } from "switchyard/sdk";
import type { AudioRequest, MusicRequest } from "./input.ts";
import { type Kind, modelFor, type Settings } from "./settings.ts";

type Request = MusicRequest & AudioRequest;
interface Parts extends Pick<GradioApp<Settings, Request>, "title" | "outputs" | "arguments"> {
  readonly marks: readonly string[];
}

/** Inputs of /predict_full that the other one does not have. */
export const MUSICGEN_MARKS = ["melody", "duration"] as const;
export const MAGNET_MARKS = ["decoding_steps1", "span_score"] as const;

export const musicgen = demo({
  title: "MusicGen",
  marks: MUSICGEN_MARKS,
  arguments: (input, { config }) => ({
    model: modelFor("music.generate", { ...config, variant: "musicgen" }, input.model),
    text: input.prompt,
    melody: input.init_audio,
    duration: input.duration_seconds,
    cfg_coef: input.cfg,
  }),
  // A film of the waveform, the music, and both once more from another decoder.
  outputs: [{ at: 1, name: "music" }],
});

export const magnetFor = (kind: Kind) =>
  demo({
    title: "MAGNeT",
    marks: MAGNET_MARKS,
    arguments: (input, { config }) => ({
      model: modelFor(kind, { ...config, variant: "magnet" }, input.model),
      text: input.prompt,
      // It has none of these; the adapter says so instead of leaving them out in silence.
      duration: input.duration_seconds,
      cfg_coef: input.cfg,
      melody: input.init_audio,
      seed: input.seed,
    }),
    outputs: [
      { at: 1, name: "variation-1" },
      { at: 2, name: "variation-2", required: false },
    ],
  });

/** What of the marks is not there, in words. */
export function lacking(
  marks: readonly string[],
  has: (name: string) => boolean,
): string | undefined {
  const absent = marks.filter((mark) => !has(mark));
  const where = "among the inputs of /predict_full";
  return absent.length === 0 ? undefined : `no ${absent.join(", ")} ${where}`;
}

function demo({ marks, ...parts }: Parts) {
  return gradioApp(({ username, password }: Settings) => ({
    ...parts,
    endpoint: "/predict_full",
    needs: ["text"],
    takes: ["model", "melody", "duration", "cfg_coef"],
    // A path on the server's disk is not for clients, and null in its place fails; the second
    // decoder takes 30 GB on top.
    pinned: { model_path: "", decoder: "Default" },
    cancel: { kind: "interrupt" as const, endpoint: "/interrupt" },
    refuse: (app: GradioServer) => lacking(marks, app.has) ?? tooNew(app),
    facts: (_input: Request, { model, duration }) => ({
      model,
      ...(duration === undefined ? {} : { duration_seconds: duration }),
    }),
    ...(username === undefined ? {} : { login: { username, password: password ?? "" } }),
  }));
}

/** The page comes up on every version, and then each run fails at its end. */
function tooNew({ version, major }: GradioServer): string | undefined {
  return major < 5
    ? undefined
    : `it runs on Gradio ${version}, which has no make_waveform any more: every run would fail at ` +
        'its end; install "gradio<5" in AudioCraft\'s environment';
}
