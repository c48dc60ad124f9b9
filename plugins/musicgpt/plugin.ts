/** Music from text by MusicGPT, which runs MusicGen in ONNX Runtime behind a WebSocket. */
import { definePlugin, inputs, t } from "switchyard/sdk";
import { health, models } from "./health.ts";
import { DEFAULT_SECONDS, run } from "./run.ts";
import { costOf, settings } from "./settings.ts";

const input = t.Composite([
  t.Pick(inputs.music, ["prompt", "model", "format"]),
  t.Object({
    // The server itself takes any number and works for hours on it.
    duration_seconds: t.Optional(
      t.Integer({ minimum: 1, maximum: 30, description: `${DEFAULT_SECONDS} when absent.` }),
    ),
  }),
]);

export default definePlugin({
  apiVersion: 1,
  name: "musicgpt",
  version: "0.1.0",
  title: "MusicGPT",
  summary: "Instrumental music of up to 30 seconds from a text, through a MusicGPT server.",
  defaultUrl: "http://127.0.0.1:8642",
  notice:
    "MusicGen's weights are licensed CC-BY-NC-4.0: no commercial use. MusicGPT itself is MIT.",
  config: settings,

  capabilities: {
    "music.generate": {
      route: "POST /generate/music",
      input,
      example: {
        prompt: "Slow piano over rain on a tin roof, a train far away.",
        duration_seconds: 8,
      },
      restart: "resume",
      vram: ({ model, duration_seconds }, config) =>
        costOf(model ?? config.model, config, duration_seconds ?? DEFAULT_SECONDS),
      run,
    },
  },

  health,
  models,
});
