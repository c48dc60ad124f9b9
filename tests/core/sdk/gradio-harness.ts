/** What the tests of the Gradio adapter share: an app, a context, and a run that one may watch. */
import { definePlugin, type GradioApp, gradioApp, inputs, type Static, t } from "switchyard/sdk";
import { createTestContext, createTestJob, type TestJob } from "switchyard/sdk/testing";

export const Input = t.Pick(inputs.audio, [
  ...(["prompt", "negative_prompt", "duration_seconds", "seed"] as const),
  ...(["init_audio", "format", "options"] as const),
]);
export type Input = Static<typeof Input>;
export type App = GradioApp<Record<string, unknown>, Input>;

/** stable-audio-tools: a plain function without progress, and nothing that stops it. */
export const STABLE: App = {
  title: "Stable Audio",
  endpoint: "/generate",
  needs: ["prompt", "seconds_total", "sigma_min"],
  takes: ["negative_prompt", "seed", "init_audio"],
  arguments: ({ prompt, negative_prompt, duration_seconds, seed, init_audio }) => ({
    prompt,
    negative_prompt,
    seconds_total: duration_seconds,
    seed,
    init_audio,
  }),
  pinned: { file_naming: "output.wav", file_format: "wav" },
  outputs: [{ at: 0 }, { at: 1, role: "preview", required: false }],
  streamIdleMs: 5_000,
};

/** MusicGen: shows a bar, and has an endpoint that stops it. */
export const MUSICGEN: App = {
  title: "MusicGen",
  endpoint: "/predict_full",
  needs: ["text", "duration"],
  arguments: ({ prompt, duration_seconds }) => ({ text: prompt, duration: duration_seconds }),
  outputs: [{ at: 1, name: "music" }],
  cancel: { kind: "interrupt", endpoint: "/interrupt" },
  streamIdleMs: 5_000,
};

/** YuEGP: a generator with State, whose songs are in a gallery of the session. */
export const YUEGP: App = {
  title: "YuEGP",
  endpoint: "/generate_song",
  needs: ["genres_input", "lyrics_input"],
  arguments: ({ prompt }) => ({ genres_input: prompt, lyrics_input: "[verse]\nla la\n" }),
  outputs: [{ at: 0, as: "text", name: "status" }],
  collect: { endpoint: "/refresh_gallery", outputs: [{ at: 1 }] },
  failure: ([status]) => (/Aborted/.test(String(status)) ? String(status) : undefined),
  cancel: { kind: "interrupt", endpoint: "/abort_generation" },
  stages: [
    { match: "Stage 1", weight: 1 },
    { match: "steps", weight: 1 },
  ],
};

const shell = definePlugin({
  apiVersion: 1,
  name: "tested",
  version: "1.0.0",
  title: "Tested",
  summary: "Holds a transport.",
  config: {},
  capabilities: {},
  health: async () => ({ status: "ready" }),
});

export interface Bench {
  readonly ctx: ReturnType<typeof createTestContext>;
  readonly transport: ReturnType<typeof gradioApp<Record<string, unknown>, Input>>;
  health(): Promise<unknown>;
  start(input: Input, options?: Parameters<typeof createTestJob>[1]): Started;
}

export interface Started {
  readonly job: TestJob<Input>;
  /** What it gave, or what it threw. */
  readonly ended: Promise<{ readonly output?: any; readonly error?: any }>;
  /** Whether it has settled. */
  readonly isOver: () => boolean;
}

/** One backend at `url`, driven by the adapter alone. */
export function bench(url: string, app: App, folder?: string): Bench {
  const ctx = createTestContext(shell, url, {}, folder === undefined ? {} : { folder });
  const transport = gradioApp<Record<string, unknown>, Input>(app);
  return {
    ctx,
    transport,
    health: () => transport.health(ctx, AbortSignal.timeout(5_000)),
    start(input, options) {
      const job = createTestJob(input, options);
      let over = false;
      const ended = transport
        .run(job, ctx)
        .then(
          (output) => ({ output }),
          (error: unknown) => ({ error }),
        )
        .finally(() => {
          over = true;
        });
      return { job, ended, isOver: () => over };
    },
  };
}
