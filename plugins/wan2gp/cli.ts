/** WanGP by its command line: one process for each job, which frees the GPU when it ends. */
import { join } from "node:path";
import {
  BackendError,
  type CommandEnd,
  type CommandSpec,
  type Context,
  command,
  type ProgressRule,
  type Transport,
} from "switchyard/sdk";
import { checkModel } from "./folder.ts";
import { type Kind, outputOf, type Request } from "./input.ts";
import { failureOf } from "./outcome.ts";
import type { Settings } from "./settings.ts";
import { taskOf } from "./task.ts";

const OUTPUTS = {
  video: "**/*.{mp4,mkv,mov,webm}",
  image: "**/*.{png,jpg,jpeg,webp}",
  audio: "**/*.{wav,mp3,flac,ogg,opus,m4a}",
};

/** `[3/30] Prompt 1/1 - Denoising | 12s`, rewritten in place. */
const PROGRESS: readonly ProgressRule[] = [
  { stage: "loading the model", pattern: /\bLoading\b/i, weight: 0.1 },
  {
    stage: "inference",
    pattern: /\[(?<done>\d+)\/(?<total>\d+)\].*(Denoising|Sampling|Generating)/i,
    weight: 0.8,
  },
  { stage: "decoding", pattern: /VAE Decoding|Decoding/i, weight: 0.1 },
];

/** Each kind has a folder of its own for its jobs. */
export function cliFor(kind: Kind): Transport<Settings, Request> {
  const transport = command(specOf(kind));
  const own = (ctx: Context<Settings>) => ({ ...ctx, folder: join(ctx.folder, kind) });
  return {
    async health(ctx, signal) {
      if (ctx.config.folder !== undefined) return transport.health(own(ctx), signal);
      return { status: "down", reason: "the setting folder must name WanGP's own folder" };
    },
    run: (job, ctx) => transport.run(job, own(ctx)),
  };
}

const specOf = (kind: Kind): CommandSpec<Settings, Request> => ({
  title: "WanGP",
  needs: ({ python, folder = "" }) => ({
    program: python[0] ?? "",
    cwd: folder,
    files: ["wgp.py"],
  }),
  files: ({ init_image, end_image, voice_sample }) => ({
    start: init_image,
    end: end_image,
    voice: voice_sample,
  }),
  plan({ input }, config, { in: inside, out, files }) {
    const task = taskOf(kind, input, config, files);
    checkModel(input, config);
    const script = ["wgp.py", "--process", join(inside, "job.json"), "--output-dir", out];
    return {
      argv: [...config.python, ...script, ...config.arguments],
      cwd: config.folder ?? "",
      files: { "job.json": JSON.stringify(task) },
      outputs: [{ glob: OUTPUTS[outputOf(kind)], take: "all", name: outputOf(kind) }],
      progress: PROGRESS,
      // A load prints nothing for minutes.
      quiet: true,
      failure,
    };
  },
  facts: ({ job, config }) => ({ model: taskOf(kind, job.input, config).model_type }),
});

/** Its exit code says little: a task that was skipped counts as a success. */
function failure({ lines, exitCode }: CommandEnd): BackendError | undefined {
  const skipped = lines.findLast((line) => line.includes("[SKIP]"));
  if (skipped !== undefined) return failureOf(skipped.replace(/^.*\[SKIP\]\s*/, ""), true);
  const said = lines.findLast((line) => line.includes("[ERROR]"));
  if (said !== undefined) return failureOf(said.replace(/^.*\[ERROR\]\s*/, ""), false);
  if (exitCode !== 130) return undefined;
  return new BackendError("BACKEND_LOST", "Somebody interrupted WanGP while it worked");
}
