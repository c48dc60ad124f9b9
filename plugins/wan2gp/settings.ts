/** The operator's settings for one WanGP. */
import { type Static, t } from "switchyard/sdk";

const modelFor = (what: string) =>
  t.Optional(
    t.String({ minLength: 1, description: `Makes ${what}; without it this backend makes none.` }),
  );

const schema = t.Object({
  variant: t.Union([t.Literal("mcp"), t.Literal("cli")], {
    default: "mcp",
    description:
      "mcp: the server that `wgp.py --mcp` starts. cli: one `wgp.py --process` for each job, " +
      "which loads the model every time and leaves no memory in use.",
  }),
  model: t.String({
    minLength: 1,
    default: "t2v_1.3B",
    description: "Makes videos when a request names no model: a name in WanGP's folder defaults.",
  }),
  image_model: modelFor("images, for example z_image"),
  audio_model: modelFor("sounds, for example stable_audio3_medium"),
  music_model: modelFor("music, for example ace_step_v1_5"),
  speech_model: modelFor("speech, for example chatterbox"),
  allow_downloads: t.Boolean({
    default: true,
    description: "Lets a job download a model's missing weights, which may take GB and minutes.",
  }),
  download_timeout_ms: t.Integer({
    default: 3_600_000,
    minimum: 1_000,
    description: "Longest time for that; raise attempt_timeout_ms with it.",
  }),
  poll_interval_ms: t.Integer({
    default: 1_500,
    minimum: 10,
    maximum: 60_000,
    description: "Pause between two questions after the job that runs.",
  }),
  working_mib: t.Record(t.String(), t.Integer({ minimum: 0 }), {
    default: {},
    description: "GPU memory in MiB that a model takes while it works, until it was measured.",
  }),
  largest_mib: t.Integer({
    default: 20_000,
    minimum: 1_000,
    description: "No estimate is above this; a little less than the GPU has.",
  }),
  folder: t.Optional(t.String({ minLength: 1, description: "For cli: WanGP's own folder." })),
  python: t.Array(t.String({ minLength: 1 }), {
    default: ["python"],
    minItems: 1,
    description: "For cli: the interpreter, for example venv/bin/python in that folder.",
  }),
  arguments: t.Array(t.String(), {
    default: [],
    description: "For cli: more arguments of wgp.py, for example --profile, 4.",
  }),
});

export const settings = schema.properties;
export type Settings = Static<typeof schema>;
