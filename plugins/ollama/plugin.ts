/** Text and embeddings from an Ollama server, which loads and unloads models by itself. */
import { definePlugin, inputs } from "switchyard/sdk";
import { costOf } from "./cost.ts";
import { embed } from "./embed.ts";
import { generate } from "./generate.ts";
import { health } from "./health.ts";
import { checkGenerate, generateInput } from "./input.ts";
import { load } from "./load.ts";
import { list, named } from "./models.ts";
import { refusedName } from "./names.ts";
import { free, residents } from "./residents.ts";
import { settings } from "./settings.ts";

export default definePlugin({
  apiVersion: 1,
  name: "ollama",
  version: "0.1.0",
  title: "Ollama",
  summary: "Text generation with token streaming, and embeddings, through an Ollama server.",
  defaultUrl: "http://127.0.0.1:11434",
  config: settings,

  capabilities: {
    "text.generate": {
      route: "POST /llm/generate",
      input: generateInput,
      example: {
        prompt: "Name three kinds of railway switch.",
        max_tokens: 200,
        truncate: false,
      },
      check: checkGenerate,
      vram: ({ model, max_tokens }, config) =>
        costOf(model ?? config.model, config, max_tokens ?? config.default_max_tokens),
      run: generate,
    },

    "text.embed": {
      route: "POST /llm/embed",
      input: inputs.embedding,
      example: { texts: ["A rail yard sorts trains.", "A switch decides the track."] },
      check: (input, config) => refusedName(input.model ?? config.embed_model, config),
      vram: ({ model, texts }, config) => costOf(model ?? config.embed_model, config, texts.length),
      run: embed,
    },
  },

  routes: {
    models: {
      route: "GET /llm/models",
      input: inputs.none,
      scope: "llm",
      handle: (_input, ctx, signal) => list(ctx, signal),
    },
  },

  health,
  models: named,
  residents,
  load,
  free,
  frees: "model",
});
