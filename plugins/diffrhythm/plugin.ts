/** Songs from lyrics with times and a style, by DiffRhythm in any of the forms that people run. */
import { definePlugin } from "switchyard/sdk";
import { check, input, secondsOf } from "./request.ts";
import { costOf, settings, taken } from "./settings.ts";
import { transport } from "./variants.ts";

export default definePlugin({
  apiVersion: 1,
  name: "diffrhythm",
  version: "0.1.0",
  title: "DiffRhythm",
  summary: "Songs of 95 to 285 seconds with vocals, from lyrics and a style, through DiffRhythm.",
  defaultUrl: "http://127.0.0.1:7871",
  config: settings,

  capabilities: {
    "music.generate": {
      route: "POST /generate/music",
      input,
      example: {
        prompt: "folk, acoustic guitar, harmonica, touching",
        lyrics: "[verse]\nThe last train leaves the yard\nThe signal turns to green",
        duration_seconds: 95,
      },
      restart: "resume",
      takes: taken,
      check,
      vram: (request, config) => costOf(config, secondsOf(request, config)),
      run: transport.run,
    },
  },

  health: transport.health,
});
