/**
 * A backend that costs nothing, so that only the gateway is measured. It says when its `run` began,
 * in microseconds since 1970, and may keep its device busy.
 */
import { definePlugin, inputs, t } from "switchyard/sdk";

const nowUs = () => Math.round((performance.timeOrigin + performance.now()) * 1_000);

export default definePlugin({
  apiVersion: 1,
  name: "noop",
  version: "1.0.0",
  title: "No-op",
  summary: "Ends every job at once, or never.",
  config: { busy: t.Boolean({ default: false }) },
  capabilities: {
    "image.generate": {
      route: "POST /generate/image",
      input: inputs.image,
      example: { prompt: "a lighthouse at dusk, oil on canvas" },
      vram: () => ({ model: "noop", residentMiB: 1, workingMiB: 0 }),
      run(job, { config }) {
        if (!config.busy) return { started_us: nowUs() };
        return new Promise((_, reject) => {
          job.signal.addEventListener("abort", () => reject(job.signal.reason), { once: true });
        });
      },
    },
  },
  health: async () => ({ status: "ready" }),
});
