/** Pictures from Template Server: a server that takes work over a small REST API. */
import { BackendError, definePlugin, type HttpClient, inputs, poll, t } from "switchyard/sdk";

const Version = t.Object({ version: t.String() });
const Models = t.Array(t.Object({ name: t.String(), loaded_mib: t.Integer() }));
const Submitted = t.Object({ id: t.String({ minLength: 1 }) });
const Status = t.Object({
  state: t.String(),
  progress: t.Number({ minimum: 0, maximum: 1 }),
  error: t.Optional(t.String()),
  file: t.Optional(t.String()),
});

/** Longest time until a model is loaded. */
const LOAD_MS = 600_000;
/** How long a cancelled job may take to leave the server. */
const SETTLE_MS = 60_000;

export default definePlugin({
  apiVersion: 1,
  name: "template-server",
  version: "0.1.0",
  title: "Template Server",
  summary: "Pictures from Template Server.",
  defaultUrl: "http://127.0.0.1:9000",
  config: {
    model: t.String({ default: "base", description: "Used when a request names no model." }),
    resident_mib: t.Integer({ default: 4096, minimum: 0, description: "A model's size, in MiB." }),
  },

  capabilities: {
    "image.generate": {
      route: "POST /generate/image",
      input: inputs.image,
      example: { prompt: "a red signal box in the snow", steps: 4 },
      restart: "resume",
      // Runs of about the same size are learned from together: here pixels times steps.
      vram: ({ model, width = 512, height = 512, steps = 20 }, config) => ({
        model: model ?? config.model,
        residentMiB: config.resident_mib,
        workingMiB: 1024,
        size: width * height * steps,
      }),
      async run(job, { http, config }) {
        const path = (id: string) => `/jobs/${encodeURIComponent(id)}`;
        const cancel = (id: string) => http.fetch(path(id), { method: "DELETE" });
        // A step runs once per job. It gets no signal: what is submitted half cannot be cancelled.
        const id = await job.step("submit", async () => {
          const body = { model: config.model, ...job.input };
          const submitted = await http.post("/jobs", body, { as: Submitted });
          if (job.signal.aborted) await cancel(submitted.id);
          return submitted.id;
        });
        job.onCancel(() => cancel(id));
        const ended = async () => {
          const status = await http.get(path(id), { as: Status });
          job.progress(status.progress);
          return status.state === "queued" || status.state === "running" ? undefined : status;
        };
        const status = await poll(ended, { signal: job.signal }).catch(async (error: unknown) => {
          // The GPU goes to the next job when `run` ends, so the server must be idle by then.
          if (job.signal.aborted) await poll(ended, { signal: AbortSignal.timeout(SETTLE_MS) });
          throw error;
        });
        const reason = status.error ?? `the job ended as "${status.state}" without a file`;
        if (/out of memory/i.test(reason)) throw new BackendError("OUT_OF_MEMORY", reason);
        if (status.state !== "done") throw new BackendError("BACKEND_FAILED", reason);
        if (status.file === undefined) throw new BackendError("BACKEND_BAD_OUTPUT", reason);
        const url = `/files/${encodeURIComponent(status.file)}`;
        const file = await http.fetch(url, { signal: job.signal });
        await job.artifact(file, { name: status.file, mediaType: "image/png" });
      },
    },
  },

  health: async ({ http }, signal) => {
    const { version } = await http.get("/version", { signal, as: Version });
    return { status: "ready", version };
  },
  models: async ({ http }, signal) => (await list(http, signal)).map(({ name }) => ({ name })),
  residents: async ({ http }, signal) => {
    const loaded = (await list(http, signal)).filter(({ loaded_mib }) => loaded_mib > 0);
    return loaded.map(({ name, loaded_mib }) => ({ model: name, residentMiB: loaded_mib }));
  },
  load: async ({ http }, model, signal) => {
    await http.post("/load", { model }, { signal, timeoutMs: LOAD_MS });
  },
  free: async ({ http }, model, signal) => {
    await http.post("/unload", { model }, { signal });
  },
});

const list = (http: HttpClient, signal: AbortSignal) => http.get("/models", { signal, as: Models });
