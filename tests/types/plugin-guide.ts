/**
 * The code of docs/plugins.md, "How your plugin shares the GPU", as it stands there: so it compiles,
 * and tests/conformance/plugin-guide.test.ts runs it.
 */
import { definePlugin, inputs, poll, t } from "switchyard/sdk";

const Held = t.Array(t.Object({ name: t.String(), mib: t.Integer() }));

export const signalBox = definePlugin({
  apiVersion: 1,
  name: "signal-box",
  version: "0.1.0",
  title: "Signal Box",
  summary: "Pictures from Signal Box.",
  defaultUrl: "http://127.0.0.1:9000",
  config: {
    model: t.String({ default: "base" }),
    precision: t.String({ default: "fp16" }),
  },
  capabilities: {
    "image.generate": {
      route: "POST /generate/image",
      input: inputs.image,
      example: { prompt: "a signal box in the snow" },
      vram: ({ model, width = 1024, height = 1024, steps = 30 }, config) => ({
        model: model ?? config.model,
        residentMiB: 6_500,
        workingMiB: 500 + Math.ceil((width * height) / 500),
        size: width * height * steps,
      }),
      run: (job, { http, config }) =>
        http.post("/draw", { ...job.input, precision: config.precision }, { signal: job.signal }),
    },
  },
  health: async ({ http }, signal) => {
    await http.get("/models", { signal, as: Held });
    return { status: "ready" };
  },
  residents: async ({ http }, signal) => {
    const held = await http.get("/models", { signal, as: Held });
    return held.map(({ name, mib }) => ({ model: name, residentMiB: mib }));
  },
  // With the very options of the requests, or the first of them loads the model again.
  load: async ({ http, config }, model, signal) => {
    const body = { model, precision: config.precision };
    await http.post("/models/load", body, { signal, timeoutMs: 600_000 });
  },
  // The server answers at once and unloads a little later.
  free: async ({ http }, model, signal) => {
    await http.post("/models/unload", { model }, { signal });
    const gone = async () => {
      const held = await http.get("/models", { signal, as: Held });
      return held.every(({ name }) => name !== model) || undefined;
    };
    await poll(gone, { signal });
  },
  frees: "model",
});
