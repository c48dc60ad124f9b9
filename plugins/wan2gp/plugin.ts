/** Videos from WanGP (Wan2GP), and images, sounds, music and speech where it has models for them. */
import { definePlugin } from "switchyard/sdk";
import { costOf } from "./cost.ts";
import {
  audioInput,
  imageInput,
  musicInput,
  offers,
  refusal,
  speechInput,
  videoInput,
} from "./input.ts";
import { settings } from "./settings.ts";
import { health, models, workOf } from "./transport.ts";

export default definePlugin({
  apiVersion: 1,
  name: "wan2gp",
  version: "0.1.0",
  title: "WanGP",
  summary: "Videos through WanGP (Wan2GP), and images, sounds, music and speech on its models.",
  notice:
    "Uses WanGP (Wan2GP) by DeepBeepMeep, https://github.com/deepbeepmeep/Wan2GP, under the WanGP " +
    "Community License 2.0: free to use; to sell access to it (paid API, SaaS, hosting, OEM) or to " +
    "white-label it takes a licence of its author. Illegal and abusive uses are prohibited. Who " +
    "sells an output itself credits it: Made with WanGP.",
  defaultUrl: "http://127.0.0.1:7860",
  config: settings,
  offers,

  capabilities: {
    "video.generate": {
      route: "POST /generate/video",
      input: videoInput,
      example: { prompt: "a red steam train crosses a stone bridge", duration_seconds: 5, seed: 7 },
      check: refusal,
      vram: (input, config) => costOf("video.generate", input, config),
      ...workOf("video.generate"),
    },
    "image.generate": {
      route: "POST /generate/image",
      input: imageInput,
      example: { prompt: "a signal box in the snow", width: 832, height: 480, seed: 7 },
      check: refusal,
      vram: (input, config) => costOf("image.generate", input, config),
      ...workOf("image.generate"),
    },
    "audio.generate": {
      route: "POST /generate/audio",
      input: audioInput,
      example: { prompt: "a train passes over points", duration_seconds: 10, seed: 7 },
      check: refusal,
      vram: (input, config) => costOf("audio.generate", input, config),
      ...workOf("audio.generate"),
    },
    "music.generate": {
      route: "POST /generate/music",
      input: musicInput,
      example: { prompt: "slow blues, harmonica", lyrics: "[verse]\nMidnight train", seed: 7 },
      check: refusal,
      vram: (input, config) => costOf("music.generate", input, config),
      ...workOf("music.generate"),
    },
    "speech.synthesize": {
      route: "POST /tts",
      input: speechInput,
      example: { text: "The 9:15 to Crewe stands on track four.", seed: 7 },
      check: refusal,
      vram: (input, config) => costOf("speech.synthesize", input, config),
      ...workOf("speech.synthesize"),
    },
  },

  health,
  models,
});
