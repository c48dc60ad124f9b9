/** Any command-line program as a backend, from settings alone: one process for each job. */
import { definePlugin, FILE_KINDS, fileCapabilities, type Job, optionsOf } from "switchyard/sdk";
import { mistakeIn } from "./mistakes.ts";
import { type Input, lookupIn, program } from "./program.ts";
import { type Settings, settings } from "./settings.ts";
import { fieldsIn, refusalOf } from "./template.ts";

export default definePlugin({
  apiVersion: 1,
  name: "subprocess",
  version: "0.1.0",
  title: "Subprocess",
  summary: "A command-line program of your own, described in the settings; one process per job.",
  config: settings,
  capabilities: fileCapabilities<Settings>({
    restart: "resume",
    // The gateway makes the format that is asked for out of the one that comes.
    takes: (config) => {
      const { properties } = FILE_KINDS[config.capability].input;
      return [...fieldsIn(config), "format"].filter((name) => Object.hasOwn(properties, name));
    },
    options: async ({ config }) => optionsOf(config.options),
    check: (request, config) => refusalOf(config, lookupIn(request, config)),
    vram: ({ duration_seconds: size }, { model, vram_mib }) => {
      // Nothing stays when the process has ended, so all of it is working memory.
      const cost = { model, residentMiB: 0, workingMiB: vram_mib };
      return typeof size === "number" ? { ...cost, size } : cost;
    },
    run: (job, ctx) => program.run(job as Job<Input>, ctx),
  }),
  offers: ({ capability }) => [capability],
  async health(ctx, signal) {
    const mistake = mistakeIn(ctx.config);
    if (mistake !== undefined) return { status: "down", reason: `in the settings, ${mistake}` };
    return program.health(ctx, signal);
  },
});
