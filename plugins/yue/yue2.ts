/** The command of YuE2. It writes a folder for each song, with what came of it in JSON. */
import { join } from "node:path";
import { BackendError, type CommandEnd, command, type Transport } from "switchyard/sdk";
import { genresOf } from "./lyrics.ts";
import { isNumber, isText, option, ownSeed, type Request, SCORE_OPTIONS } from "./request.ts";
import type { Settings } from "./settings.ts";

const placeOf = ({ folder }: Settings) => (folder === undefined ? {} : { cwd: folder });
const programOf = ({ command: own = ["yue2"] }: Settings) => own;

export const yue2: Transport<Settings, Request> = {
  ...command<Settings, Request>({
    title: "YuE2",
    needs: (config) => ({ program: programOf(config)[0] ?? "", ...placeOf(config) }),
    plan: ({ id, input }, config, folders) => ({
      argv: [
        ...programOf(config),
        ...["generate", "--request", join(folders.in, "request.json")],
        ...["--output", folders.out, "--budget", String(config.budget_gib)],
      ],
      ...placeOf(config),
      files: { "request.json": JSON.stringify(requestOf(id, input)) },
      outputs: [{ glob: "song/audio.flac", name: "song" }],
      progress: [
        { stage: "loading", pattern: /Loading model/, weight: 5 },
        { stage: "writing the score", pattern: /Planning score/, weight: 15 },
        { stage: "singing", pattern: /Generating song/, weight: 50 },
        steps("synthesizing", /Synthesizing audio: (?<done>\d+)\/(?<total>\d+) steps/, 25),
        steps("decoding", /Decoding audio: (?<done>\d+)\/(?<total>\d+) chunks/, 5),
      ],
      failure: failureOf,
    }),
    async facts({ job, text }) {
      const { truncated, audio_seconds } = Object(await jsonIn(text, "result.json"));
      const score = await text("song/score.abc");
      const seed = ownSeed(job.input, job.id);
      const known = isNumber(audio_seconds) ? { duration_seconds: audio_seconds } : {};
      return { seed: job.input.seed ?? seed, ...known, ...(score && { score }), truncated };
    },
  }),
  options: async () => SCORE_OPTIONS,
};

/** Unknown fields end it, so nothing but these. */
function requestOf(jobId: string, input: Request) {
  return {
    id: "song",
    style: genresOf(input),
    lyrics: input.lyrics ?? "",
    seed: input.seed ?? ownSeed(input, jobId),
    cfg_scale: input.cfg,
    cot: option(input, "cot", isText),
    abc: option(input, "abc", isText),
  };
}

const steps = (stage: string, pattern: RegExp, weight: number) => ({ stage, pattern, weight });

/** It writes down itself why it failed. */
async function failureOf({ exitCode, text }: CommandEnd): Promise<BackendError | undefined> {
  const { type, reason } = Object(await jsonIn(text, "failure.json"));
  if (isText(type)) {
    const why = `${type}: ${String(reason)}`.replace(/(?:\/[^\s/:'"]+)+\//g, "").slice(0, 500);
    const isMemory = /OutOfMemory|out of memory/i.test(why);
    return new BackendError(isMemory ? "OUT_OF_MEMORY" : "BACKEND_FAILED", `YuE2 failed: ${why}`);
  }
  const { status } = Object(await jsonIn(text, "result.json"));
  if (exitCode !== 0 || status === "complete") return undefined;
  return new BackendError("BACKEND_BAD_OUTPUT", "YuE2 ended without an error and without a song");
}

async function jsonIn(text: CommandEnd["text"], name: string): Promise<unknown> {
  try {
    return JSON.parse((await text(`song/${name}`)) ?? "");
  } catch {
    // Not there, or cut off: then it tells nothing.
    return undefined;
  }
}
