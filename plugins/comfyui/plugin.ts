/** Images from a ComfyUI server, through the operator's own workflows. */
import { definePlugin, t } from "switchyard/sdk";
import { input } from "./input.ts";
import { modelsOf } from "./models.ts";
import { optionsOf } from "./options.ts";
import { costOf } from "./plan.ts";
import { problemOf } from "./request.ts";
import { run } from "./run.ts";
import { freeAll, healthOf } from "./server.ts";

const previewMethods = ["auto", "latent2rgb", "taesd", "none", "default"] as const;

export default definePlugin({
  apiVersion: 1,
  name: "comfyui",
  version: "0.1.0",
  title: "ComfyUI",
  summary: "Images from a ComfyUI server, with SDXL, Z-Image-Turbo, FLUX or workflows of your own.",
  defaultUrl: "http://127.0.0.1:8188",

  config: {
    default_workflow: t.String({
      default: "sdxl",
      description: "For requests that name neither a workflow nor a model made for one.",
    }),
    workflows_dir: t.Optional(
      t.String({
        description: "Folder of your own templates, `<name>.json`; they replace shipped ones.",
      }),
    ),
    allow_partial: t.Boolean({
      default: false,
      description: "Accept a workflow of which ComfyUI can only run some outputs.",
    }),
    preview_method: t.Union(
      previewMethods.map((method) => t.Literal(method)),
      { default: "auto", description: "How ComfyUI draws unfinished pictures; none saves time." },
    ),
    max_megapixels: t.Number({
      default: 17,
      exclusiveMinimum: 0,
      description: "Largest width x height x batch of one request, in millions of pixels.",
    }),
  },

  health: healthOf,
  models: ({ http, config }, signal) => modelsOf(http, config, signal),
  free: ({ http }, _model, signal) => freeAll(http, signal),
  frees: "everything",

  capabilities: {
    "image.generate": {
      route: "POST /generate/image",
      input,
      example: { prompt: "a red bicycle against a white wall", width: 512, height: 512, seed: 7 },
      restricted: { graph: "generate:raw" },
      restart: "resume",
      options: async ({ config }) => optionsOf(config),
      check: problemOf,
      vram: costOf,
      run,
    },
  },
});
