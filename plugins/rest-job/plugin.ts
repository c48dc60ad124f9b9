/** Any server that takes work over REST, by its description in the settings. */
import {
  costOf,
  definePlugin,
  fileCapabilities,
  type Job,
  optionsOf,
  restJob,
} from "switchyard/sdk";
import { type Settings, settings } from "./settings.ts";
import { type Request, specOf, takesOf } from "./spec.ts";

export default definePlugin({
  apiVersion: 1,
  name: "rest-job",
  version: "0.1.0",
  title: "REST server",
  summary: "Any server that takes work over REST, by its description in the settings.",
  config: settings,
  offers: ({ capability }) => [capability],
  capabilities: fileCapabilities<Settings>({
    restart: "resume",
    takes: takesOf,
    vram: (request, { cost }) => costOf(request, cost),
    options: async ({ config }) => optionsOf(config.options),
    run: (job, ctx) => restJob(specOf(ctx.config)).run(job as Job<Request>, ctx),
  }),
  health: (ctx, signal) => restJob(specOf(ctx.config)).health(ctx, signal),
});
