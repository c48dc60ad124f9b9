/** Plugins that are wrong in one way each, and the rule of the suite that must say so. */
import { type AnyCapability, type AnyPlugin, BackendError, poll, t } from "switchyard/sdk";
import good from "../../scripts/new-plugin/typescript/plugin.ts";

export interface Mutation {
  readonly wrong: string;
  readonly rule: string;
  readonly plugin: AnyPlugin;
}

const KIND = "image.generate";
const capability: AnyCapability = good.capabilities[KIND];

const base = (wrong: string, rule: string, change: Partial<AnyPlugin>): Mutation => ({
  wrong,
  rule,
  plugin: { ...good, ...change } as AnyPlugin,
});

const work = (wrong: string, rule: string, change: Partial<AnyCapability>): Mutation =>
  base(wrong, `${KIND}: ${rule}`, {
    capabilities: { [KIND]: { ...capability, ...change } },
  });

type Run = AnyCapability["run"];

/** A run like the good one's, put together from parts that can be wrong. */
interface Parts {
  readonly submit?: (job: Parameters<Run>[0], ctx: Parameters<Run>[1]) => Promise<string>;
  readonly cancel?: (id: string, job: Parameters<Run>[0], ctx: Parameters<Run>[1]) => void;
  readonly failed?: (reason: string) => void;
}

const post = async (job: Parameters<Run>[0], { http }: Parameters<Run>[1]): Promise<string> => {
  const answer = await http.post("/jobs", { model: "base", ...job.input });
  return (answer as { id: string }).id;
};

function runOf({ submit, cancel, failed }: Parts): Run {
  return async (job, ctx) => {
    const id: string = await (submit?.(job, ctx) ??
      job.step("submit", async () => {
        const handle = await post(job, ctx);
        if (job.signal.aborted) await ctx.http.fetch(`/jobs/${handle}`, { method: "DELETE" });
        return handle;
      }));
    if (cancel) cancel(id, job, ctx);
    else job.onCancel(() => ctx.http.fetch(`/jobs/${id}`, { method: "DELETE" }));
    const look = async () => {
      const status = (await ctx.http.get(`/jobs/${id}`)) as { state: string; error?: string };
      return status.state === "queued" || status.state === "running" ? undefined : status;
    };
    const { error } = await poll(look, { signal: job.signal, intervalMs: 5 });
    if (error !== undefined) {
      if (failed === undefined) throw new BackendError("BACKEND_FAILED", error);
      failed(error);
    }
    await job.artifact(new Uint8Array([1]), { name: "a.png" });
  };
}

const never = (): Promise<never> => new Promise(() => {});
const ignored = async (): Promise<void> => {};
let chance = 0;
const loadedByHand = new Set<string>();
const BASE = { model: "base", residentMiB: 4_096 };
const SHARES = "says how it shares the GPU";

export const MUTATIONS: readonly Mutation[] = [
  base("a name in capitals", "says who it is", { name: "Template" }),
  base("a summary that is no sentence", "says who it is", { summary: "Pictures" }),
  base("another version of the contract", "says who it is", { apiVersion: 2 as never }),
  base("a capability that is no noun.verb", "says who it is", {
    capabilities: { image: capability },
  }),
  base(
    "a setting in camelCase",
    "has settings in snake_case, with defaults where there can be one",
    {
      config: { ...good.config, residentMiB: t.Integer({ default: 1 }) },
    },
  ),
  base(
    "a setting without a default",
    "has settings in snake_case, with defaults where there can be one",
    {
      config: { ...good.config, folder: t.String() },
    },
  ),
  base(
    "a setting that is the kernel's",
    "has settings in snake_case, with defaults where there can be one",
    {
      config: { ...good.config, url: t.String({ default: "" }) },
    },
  ),
  base("a route without a method", "has well-formed routes", {
    capabilities: { [KIND]: { ...capability, route: "/generate/image" as never } },
  }),
  base("two uses of one route", "has well-formed routes", {
    capabilities: { [KIND]: capability, "image.upscale": capability },
  }),
  work("input in camelCase", "takes input in snake_case", {
    input: t.Object({ prompt: t.String(), cfgScale: t.Optional(t.Number()) }),
  }),
  work("nested input in camelCase", "takes input in snake_case", {
    input: t.Object({ loras: t.Array(t.Object({ modelName: t.String() })) }),
  }),
  work("an example of another shape", "accepts its example", { example: { prompt: 5 } }),
  work("an example with an unknown field", "accepts its example", {
    example: { prompt: "a yard", colour: "red" },
  }),
  work("an example that its own check refuses", "accepts its example", { check: () => "no" }),
  work("a request that may be empty", "refuses an empty request", {
    input: t.Object({ prompt: t.Optional(t.String()) }),
  }),
  work("a cost by chance", "gives the same request the same cost", {
    vram: () => ({ model: "base", residentMiB: chance++, workingMiB: 0 }),
  }),
  work("a cost in fractions", "gives the same request the same cost", {
    vram: () => ({ model: "base", residentMiB: 1.5, workingMiB: 0 }),
  }),
  work("a negative cost", "gives the same request the same cost", {
    vram: () => ({ model: "base", residentMiB: 1, workingMiB: -1 }),
  }),
  work("a cost that changes the settings", "gives the same request the same cost", {
    vram: (_input, config) => ({
      model: "base",
      residentMiB: config.resident_mib++,
      workingMiB: 0,
    }),
  }),
  work("a size that is no number", "gives the same request the same cost", {
    vram: () => ({ model: "base", residentMiB: 1, workingMiB: 0, size: Number.NaN }),
  }),
  work("a size of nothing", "gives the same request the same cost", {
    vram: () => ({ model: "base", residentMiB: 1, workingMiB: 0, size: 0 }),
  }),
  work("a size by chance", "gives the same request the same cost", {
    vram: () => ({ model: "base", residentMiB: 1, workingMiB: 0, size: ++chance }),
  }),
  work("a run that never ends, declared", "gives the same request the same cost", {
    vram: () => ({ model: "base", residentMiB: 1, workingMiB: 0, runMs: Infinity }),
  }),
  base("health that is never ready", "health is ready when the server answers", {
    health: async () => ({ status: "degraded", reason: "unknown" }),
  }),
  base("health that always says ready", "health notices that the server is gone", {
    health: async () => ({ status: "ready" }),
  }),
  base("health that is down without a reason", "health notices that the server is gone", {
    health: async () => ({ status: "down", reason: "" }),
  }),
  base("health that waits for ever", "health gives up on a silent server when its signal says so", {
    health: async ({ http }) => http.get("/version", { timeoutMs: 60_000 }).then(never),
  }),
  base("health that takes any answer", "health notices that another program answers", {
    health: async ({ http }, signal) => {
      await http.fetch("/version", { signal });
      return { status: "ready" };
    },
  }),
  base("a model listed twice", "models are named", {
    models: async () => [{ name: "base" }, { name: "base" }],
  }),
  base("a model without a name", "models are named", { models: async () => [{ name: "" }] }),
  base("residents in fractions", "residents are models with whole MiB", {
    residents: async () => [{ model: "base", residentMiB: 0.5 }],
  }),
  base("a resident listed twice", "residents are models with whole MiB", {
    residents: async () => [BASE, BASE],
  }),
  base("residents by file name", "residents name a model as its cost does", {
    residents: async () => [{ model: "base.safetensors", residentMiB: 4_096 }],
  }),
  base("free that frees nothing", "free makes a model leave", { free: ignored }),
  base("free that never settles", "free makes a model leave", { free: never }),
  base("free without a signal", "free ends with its signal", {
    free: async ({ http }, model) => void (await http.post("/unload", { model })),
  }),
  base("free that takes silence for success", "free ends with its signal", {
    free: async ({ http }, model, signal) =>
      void (await http.post("/unload", { model }, { signal }).catch(() => {})),
  }),
  base("another word for what leaves", `${SHARES} without contradiction`, {
    frees: "all" as never,
  }),
  base("what leaves, without free", `${SHARES} without contradiction`, {
    free: undefined,
    frees: "everything",
  }),
  base("load where nothing costs memory", `${SHARES} without contradiction`, {
    capabilities: { [KIND]: { ...capability, vram: undefined } },
  }),
  base("load that loads nothing", "load brings a model in", { load: ignored }),
  base("load of always the same model", "load brings a model in", {
    load: async ({ http }, _model, signal) =>
      void (await http.post("/load", { model: "large" }, { signal })),
  }),
  base("load that settles before the model is there", "load brings a model in", {
    load: async ({ http }, model) =>
      void setTimeout(() => http.post("/load", { model }).catch(() => {}), 50),
  }),
  base("load that never settles", "load brings a model in", { load: never }),
  base("load that refuses what is loaded", "load of a model that is there changes nothing", {
    load: async (ctx, model, signal) => {
      if ((await good.residents?.(ctx, signal))?.some((it) => it.model === model)) {
        throw new BackendError("BACKEND_REJECTED", `${model} is loaded already`);
      }
      await good.load?.(ctx, model, signal);
    },
  }),
  base("load that unloads on the second call", "load of a model that is there changes nothing", {
    load: async (ctx, model, signal) => {
      const isThere = (await good.residents?.(ctx, signal))?.some((it) => it.model === model);
      await good[isThere ? "free" : "load"]?.(ctx, model, signal);
    },
  }),
  base("load without a signal", "load ends with its signal", {
    load: async ({ http }, model) => void (await http.post("/load", { model })),
  }),
  base("load that takes silence for success", "load ends with its signal", {
    load: async (ctx, model, signal) => good.load?.(ctx, model, signal).catch(() => {}),
  }),
  base("load that throws something of its own", "load ends with its signal", {
    load: async (ctx, model, signal) =>
      good.load?.(ctx, model, signal).catch(() => {
        throw new Error("the load failed");
      }),
  }),
  base("free that only knows what has run", "free makes a loaded model leave", {
    load: async (ctx, model, signal) => {
      loadedByHand.add(model);
      await good.load?.(ctx, model, signal);
    },
    free: async (ctx, model, signal) => {
      if (!loadedByHand.has(model)) await good.free?.(ctx, model, signal);
    },
  }),
  base("free that takes all and does not say so", "free takes what the plugin says it takes", {
    free: async (ctx, _model, signal) => {
      for (const each of ["base", "large"]) await good.free?.(ctx, each, signal);
    },
  }),
  base("free that says it takes all, and does not", "free takes what the plugin says it takes", {
    frees: "everything",
  }),
  work("no result at all", "gives a result", { run: ignored }),
  work("an empty artifact, its error swallowed", "gives a result", {
    run: async (job) => {
      await job.artifact(new Uint8Array(), { name: "a.png" }).catch(() => {});
    },
  }),
  work("an artifact that nobody waits for", "gives a result", {
    run: (job) => {
      const slow = new ReadableStream({ pull: never });
      void job.artifact(slow, { name: "a.png" });
      return { seed: 1 };
    },
  }),
  work("a result that is no JSON", "gives a result", { run: () => () => "later" }),
  work("progress in percent", "gives a result", {
    run: (job) => {
      job.progress(50);
      return { seed: 1 };
    },
  }),
  work("an empty preview", "gives a result", {
    run: (job) => {
      job.preview(new Uint8Array(), "image/png");
      return { seed: 1 };
    },
  }),
  work("a cancel that stays here", "a cancel while it works reaches the server", {
    run: runOf({ cancel: () => {} }),
  }),
  work("a cancel of the wrong job", "a cancel while it works reaches the server", {
    run: runOf({
      cancel: (_id, job, { http }) =>
        job.onCancel(() => http.fetch("/jobs/unknown", { method: "DELETE" })),
    }),
  }),
  work("a submission that is cut off", "a cancel during the submission reaches the server", {
    run: runOf({
      submit: async (job, ctx) => job.step("submit", () => post(job, ctx)),
    }),
  }),
  work("a run that ignores the cancel", "a cancelled run settles", { run: never }),
  work("no step around the submission", "does not submit twice after a restart", {
    run: runOf({ submit: post }),
  }),
  work("a step after the wait", "does not submit twice after a restart in the middle of the work", {
    run: async (job, ctx) => {
      await runOf({ submit: post })(job, ctx);
      await job.step("done", async () => true);
    },
  }),
  work("a failure that counts as success", "a failure of the server is a BackendError", {
    run: runOf({ failed: () => {} }),
  }),
  work("a failure that is a plain Error", "a failure of the server is a BackendError", {
    run: runOf({
      failed: (reason) => {
        throw new Error(reason);
      },
    }),
  }),
  work("a failure with a stack", "a failure of the server is a BackendError", {
    run: runOf({
      failed: (reason) => {
        throw new BackendError("BACKEND_FAILED", `Traceback (most recent call last): ${reason}`);
      },
    }),
  }),
  work("memory that ran out as any failure", "a lack of GPU memory is OUT_OF_MEMORY", {
    run: runOf({}),
  }),
  work("a success without output", "a success without output is a BackendError", {
    run: runOf({}),
  }),
];
