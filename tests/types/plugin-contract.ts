/**
 * What the plugin contract promises a plugin's author about types. Nothing here runs: `tsc` is the
 * test, and an unused `@ts-expect-error` fails it.
 */
import { definePlugin, type Job, t } from "switchyard/sdk";

type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_T extends true>(): void => undefined;

const ready = async () => ({ status: "ready" as const });

export const inferred = definePlugin({
  apiVersion: 1,
  name: "typed",
  version: "1.0.0",
  title: "Typed",
  summary: "Infers the types of its hooks.",
  config: { voice: t.String(), resident_mib: t.Integer({ default: 100 }) },
  health: ready,
  async load(ctx, model, signal) {
    same<Same<typeof ctx.config, { voice: string; resident_mib: number }>>();
    same<Same<typeof model, string>>();
    same<Same<typeof signal, AbortSignal>>();
  },
  free: async () => {},
  frees: "everything",
  capabilities: {
    "speech.synthesize": {
      route: "POST /tts",
      input: t.Object({ text: t.String(), speed: t.Optional(t.Number()) }),
      example: { text: "Hello" },
      check(input, config) {
        same<Same<typeof input, { text: string; speed?: number }>>();
        same<Same<typeof config, { voice: string; resident_mib: number }>>();
        return undefined;
      },
      vram: ({ text }, config) => ({
        model: config.voice,
        residentMiB: config.resident_mib,
        workingMiB: 0,
        size: text.length,
        loadMs: 4_000,
      }),
      run(job, ctx) {
        same<Same<typeof job, Job<{ text: string; speed?: number }>>>();
        same<Same<typeof ctx.config.voice, string>>();
        // @ts-expect-error: the input has no such field
        return job.input.volume;
      },
    },
  },
  routes: {
    voices: {
      route: "GET /tts/voices",
      input: t.Object({ language: t.Optional(t.String()) }),
      scope: "tts",
      handle: async (input, ctx, signal) => {
        same<Same<typeof input, { language?: string }>>();
        const answer = await ctx.http.get("/voices", {
          signal,
          as: t.Object({ names: t.Array(t.String()) }),
        });
        same<Same<typeof answer, { names: string[] }>>();
        return answer.names;
      },
    },
  },
});

export const wrongFrees = definePlugin({
  apiVersion: 1,
  name: "wrong-frees",
  version: "1.0.0",
  title: "Wrong",
  summary: "Frees something that there is no word for.",
  config: {},
  health: ready,
  capabilities: {},
  free: async () => {},
  // @ts-expect-error: the model, or everything
  frees: "cache",
});

export const sizeInWords = definePlugin({
  apiVersion: 1,
  name: "size-in-words",
  version: "1.0.0",
  title: "Wrong",
  summary: "Has a size that is no number.",
  config: {},
  health: ready,
  capabilities: {
    "image.generate": {
      route: "POST /generate/image",
      input: t.Object({ prompt: t.String() }),
      example: { prompt: "a fox" },
      // @ts-expect-error: a number, in any unit
      vram: () => ({ model: "base", residentMiB: 1, workingMiB: 1, size: "large" }),
      run: () => ({}),
    },
  },
});

export const wrongRoute = definePlugin({
  apiVersion: 1,
  name: "wrong-route",
  version: "1.0.0",
  title: "Wrong",
  summary: "Has a route without a method.",
  config: {},
  health: ready,
  capabilities: {
    "image.generate": {
      // @ts-expect-error: a route starts with its method
      route: "/generate/image",
      input: t.Object({ prompt: t.String() }),
      example: { prompt: "a fox" },
      run: () => ({}),
    },
  },
});

// @ts-expect-error: a plugin has a name
export const nameless = definePlugin({
  apiVersion: 1,
  version: "1.0.0",
  title: "Nameless",
  summary: "Has no name.",
  config: {},
  health: ready,
  capabilities: {},
});

export const wrongExample = definePlugin({
  apiVersion: 1,
  name: "wrong-example",
  version: "1.0.0",
  title: "Wrong",
  summary: "Has an example that its schema refuses.",
  config: {},
  health: ready,
  capabilities: {
    "image.generate": {
      route: "POST /generate/image",
      input: t.Object({ prompt: t.String() }),
      // @ts-expect-error: the example is a complete request
      example: {},
      run: () => ({}),
    },
  },
});
