/** The built-in voice: eSpeak NG as WebAssembly in a worker thread; no server and no GPU. */
import { definePlugin } from "switchyard/sdk";
import { chooseVoice } from "./choose-voice.ts";
import { ENGINE_PACKAGE, installedVersion } from "./engine.ts";
import { settings, speechInput, speechOptions, voicesInput } from "./input.ts";
import { listVoices } from "./list-voices.ts";
import { endSpeakers, refusal, speak } from "./speak.ts";

export default definePlugin({
  apiVersion: 1,
  name: "espeak",
  version: "0.1.0",
  title: "eSpeak NG",
  summary: "A clear, robotic voice in about a hundred languages, with no GPU and no server.",
  notice: "Speech by eSpeak NG (GPL-3.0-or-later), https://github.com/espeak-ng/espeak-ng.",
  config: settings,
  fallback: true,
  concurrency: 1,

  capabilities: {
    "speech.synthesize": {
      route: "POST /tts",
      input: speechInput,
      example: {
        text: "Hello. The 9:15 to Crewe stands on track four.",
        language: "en-GB",
        speed: 1,
        options: { pitch: 1.1 },
      },
      formats: ["wav"],
      options: async () => speechOptions,
      restart: "rerun",
      check: refusal,
      run: speak,
    },
  },

  routes: {
    voices: {
      route: "GET /tts/voices",
      input: voicesInput,
      scope: "tts",
      handle: async ({ language }) => listVoices(language),
    },
  },

  async health({ config }) {
    const version = installedVersion();
    if (version === undefined) {
      const reason = `the package ${ENGINE_PACKAGE} is not installed; run \`npm install\``;
      return { status: "down", reason };
    }
    const choice = chooseVoice({}, config);
    return choice.kind === "chosen"
      ? { status: "ready", version }
      : { status: "down", reason: `in the configuration, ${choice.reason}` };
  },

  close: ({ config }) => endSpeakers(config),
});
