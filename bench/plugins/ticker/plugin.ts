/** A job that says something at a fixed pace, from when it is told to: the source for fan-out. */
import { definePlugin, t } from "switchyard/sdk";

const nowUs = () => Math.round((performance.timeOrigin + performance.now()) * 1_000);
const gates = new Map<string, () => void>();

export default definePlugin({
  apiVersion: 1,
  name: "ticker",
  version: "1.0.0",
  title: "Ticker",
  summary: "Emits text with the time of its making.",
  config: {},
  capabilities: {
    "text.generate": {
      route: "POST /llm/generate",
      input: t.Object({
        messages: t.Integer({ minimum: 1 }),
        interval_ms: t.Integer({ minimum: 1 }),
        size_bytes: t.Integer({ minimum: 32 }),
      }),
      example: { messages: 10, interval_ms: 100, size_bytes: 100 },
      async run(job) {
        const { messages, interval_ms, size_bytes } = job.input;
        await new Promise<void>((resolve) => gates.set("go", resolve));
        const startMs = performance.now();
        for (let sent = 0; sent < messages; sent++) {
          const waitMs = startMs + sent * interval_ms - performance.now();
          if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
          job.emit(`@${nowUs()}@`.padEnd(size_bytes, "."));
        }
      },
    },
  },
  routes: {
    go: {
      route: "POST /bench/go",
      input: t.Object({}),
      scope: "llm",
      async handle() {
        gates.get("go")?.();
        return { waiting: gates.delete("go") };
      },
    },
  },
  health: async () => ({ status: "ready" }),
});
