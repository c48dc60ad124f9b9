/** The command of Stable Audio 3, which loads the model for one job and frees the GPU at its end. */
import { BackendError, type CommandSpec, command, seedOf } from "switchyard/sdk";
import type { Request } from "./input.ts";
import { BASE_MODELS, MODELS, modelOf, type Settings } from "./settings.ts";

const spec: CommandSpec<Settings, Request> = {
  title: "Stable Audio 3",
  needs: ({ command: [program = ""], folder }) => ({
    program,
    ...(folder === undefined ? {} : { cwd: folder }),
  }),
  files: ({ init_audio }) => ({ init_audio }),
  plan: ({ id, input }, config, { out, files }) => ({
    argv: [
      ...config.command,
      `--model=${checked(modelOf(config, input.model), config)}`,
      // Of one piece, so that a prompt which begins with "-" stays a prompt.
      `--prompt=${input.prompt}`,
      ...given("negative-prompt", input.negative_prompt),
      ...given("duration", input.duration_seconds),
      ...given("steps", input.steps),
      ...given("cfg-scale", input.cfg),
      `--seed=${input.seed ?? seedOf(id)}`,
      ...given("init-audio", files.init_audio),
      ...given("init-noise-level", files.init_audio && input.strength),
      ...(config.chunked_decode ? ["--chunked-decode"] : []),
      `--output=${out}/audio.wav`,
    ],
    ...(config.folder === undefined ? {} : { cwd: config.folder }),
    outputs: [{ glob: "audio.wav", take: "one", mediaType: "audio/wav" }],
    progress: [
      { pattern: /Loading model/, stage: "loading", weight: 1 },
      { pattern: "tqdm", after: /Generating/, stage: "generating", weight: 4 },
      { pattern: /Saved:/, stage: "saving", weight: 0.1 },
    ],
  }),
  facts: ({ job: { id, input }, config }) => ({
    seed: input.seed ?? seedOf(id),
    model: modelOf(config, input.model),
  }),
};

export const threeCommand = command(spec);

/** Nobody but the operator names another one: what a program loads by a name is its own affair. */
function checked(model: string, { model: own }: Settings): string {
  const names = [...MODELS, ...BASE_MODELS];
  if (model === own || names.includes(model)) return model;
  const message = `model: Stable Audio 3 has ${names.join(", ")}`;
  throw new BackendError("BACKEND_REJECTED", message);
}

function given(name: string, value: string | number | undefined): string[] {
  return value === undefined ? [] : [`--${name}=${value}`];
}
