/** Speech from an AllTalk server, version 2 or 1, in the voices that it has. */
import { definePlugin } from "switchyard/sdk";
import { free } from "./free.ts";
import { healthOf } from "./health.ts";
import { refusal, speechInput, voicesInput } from "./input.ts";
import { optionsOf } from "./options.ts";
import { look } from "./server.ts";
import { costOf, settings } from "./settings.ts";
import { speak } from "./speak.ts";
import { listVoices } from "./voices.ts";

export default definePlugin({
  apiVersion: 1,
  name: "alltalk",
  version: "0.1.0",
  title: "AllTalk",
  summary: "Speech through an AllTalk server with XTTS, F5, Parler, VITS or Piper voices.",
  defaultUrl: "http://127.0.0.1:7851",
  config: settings,

  capabilities: {
    "speech.synthesize": {
      route: "POST /tts",
      input: speechInput,
      example: {
        text: "Hello. The 9:15 to Crewe stands on track four.",
        language: "en-GB",
        speed: 1,
      },
      restart: "resume",
      options: async (ctx, signal) => optionsOf(await look(ctx, signal)),
      check: refusal,
      vram: costOf,
      run: speak,
    },
  },

  routes: {
    voices: {
      route: "GET /tts/voices",
      input: voicesInput,
      scope: "tts",
      handle: async ({ language }, ctx, signal) => listVoices(await look(ctx, signal), language),
    },
  },

  health: healthOf,
  free,
  frees: "everything",
});
