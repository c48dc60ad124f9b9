/** Any program with a Gradio page as a backend, from settings alone. */
import { costOf, definePlugin, fileCapabilities } from "switchyard/sdk";
import { mistakeIn } from "./mistakes.ts";
import { missingFrom, program, takenBy } from "./program.ts";
import { settings } from "./settings.ts";

export default definePlugin({
  apiVersion: 1,
  name: "gradio",
  version: "0.1.0",
  title: "Gradio",
  summary: "Any program with a Gradio 4, 5 or 6 page, described in the settings.",
  defaultUrl: "http://127.0.0.1:7860",
  config: settings,
  capabilities: fileCapabilities({
    // Gradio keeps no result for anybody who was away.
    restart: "rerun",
    // The gateway makes the format that is asked for out of the one that comes.
    takes: takenBy,
    options: async (ctx, signal) => (await program.options?.(ctx, signal)) ?? {},
    check: missingFrom,
    vram: (request, { cost }) => costOf(request, cost),
    run: program.run,
  }),
  offers: ({ capability }) => [capability],
  async health(ctx, signal) {
    const mistake = mistakeIn(ctx.config);
    if (mistake !== undefined) return { status: "down", reason: `in the settings, ${mistake}` };
    return program.health(ctx, signal);
  },
});
