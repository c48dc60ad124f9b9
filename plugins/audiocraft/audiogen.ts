/** AudioGen by a small Python program of ours, which loads the model for one job and ends. */
import { join } from "node:path";
import {
  BackendError,
  type CommandSpec,
  command,
  type PlannedJob,
  type Transport,
  t,
} from "switchyard/sdk";
import type { AudioRequest } from "./input.ts";
import { MODELS } from "./models.ts";
import { modelFor, type Settings } from "./settings.ts";

const SCRIPT = join(import.meta.dirname, "audiogen.py");
const DEFAULT_SECONDS = 5;

/** Arguments of `set_generation_params`, with its defaults. */
const options = {
  top_k: t.Optional(t.Integer({ minimum: 0, maximum: 2_048, default: 250 })),
  top_p: t.Optional(t.Number({ minimum: 0, maximum: 1, default: 0 })),
  temperature: t.Optional(t.Number({ minimum: 0, maximum: 10, default: 1 })),
};

const spec: CommandSpec<Settings, AudioRequest> = {
  title: "AudioGen",
  needs: ({ python: [program = ""] }) => ({ program, files: [SCRIPT] }),
  plan: (job, config, folders) => ({
    argv: [...config.python, SCRIPT, join(folders.in, "request.json"), folders.out],
    files: { "request.json": JSON.stringify(requestOf(job, config)) },
    outputs: [{ glob: "audio.wav", take: "one", mediaType: "audio/wav" }],
    progress: [
      { pattern: /^loading /, stage: "loading", weight: 1 },
      { pattern: /^step (?<done>\d+) of (?<total>\d+)$/, stage: "generating", weight: 4 },
      { pattern: /^saving$/, stage: "saving", weight: 0.1 },
    ],
  }),
  facts: ({ job, config }) => {
    const { seed, model, duration_seconds } = requestOf(job, config);
    return { seed, model, duration_seconds };
  },
};

export const audiogen: Transport<Settings, AudioRequest> = {
  ...command(spec),
  options: async () => options,
};

function requestOf({ id, input }: PlannedJob<AudioRequest>, config: Settings) {
  const { prompt, cfg, duration_seconds = DEFAULT_SECONDS, options: given = {} } = input;
  const { top_k, top_p, temperature } = given;
  // One of the job's own where the request has none, so that the result can be made again.
  const seed = input.seed ?? Number.parseInt(id.replaceAll("-", "").slice(-8), 16);
  const model = modelFor("audio.generate", { ...config, variant: "audiogen" }, input.model);
  // AudioCraft would load a path or an address, and with it whatever code a pickle there holds.
  if (model !== config.audiogen_model && !MODELS.audiogen.includes(model)) {
    const names = [...new Set([config.audiogen_model, ...MODELS.audiogen])].join(", ");
    throw new BackendError("BACKEND_REJECTED", `model: AudioGen is one of ${names} here`);
  }
  return { prompt, model, seed, duration_seconds, cfg, top_k, top_p, temperature };
}
