/** DiffRhythm's two Gradio apps on real Gradio servers. */
import plugin from "../../plugins/diffrhythm/plugin.ts";
import { wavBytes } from "../fakes/yue/sound.ts";
import { testOnTwins } from "../twins/conformance.ts";

const NOTHING_STOPS = "nothing stops the app's work; it is waited for";
const ID = "7a1de9d2-b45d-4bd6-8a39-6f8a3f5cbb10";
const recording = new File([wavBytes()], "style.wav", { type: "audio/wav" });

testOnTwins(plugin, {
  signature: "diffrhythm-space",
  files: { [ID]: recording },
  // Its style is the recording, so that words can only stand in the lyrics.
  inputs: { "music.generate": { prompt: "x", init_audio: { artifact_id: ID } } },
  withPrompt: (input, words) => ({ ...input, lyrics: `all ${words} green` }),
  without: { hang: NOTHING_STOPS },
});

testOnTwins(plugin, { signature: "diffrhythm-web", without: { hang: NOTHING_STOPS } });
