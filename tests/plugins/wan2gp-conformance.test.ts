/** The conformance suite over WanGP's server, with each of the MCP packages' manners. */
import { testPlugin } from "switchyard/sdk/testing";
import wan2gp from "../../plugins/wan2gp/plugin.ts";
import { startFakeWan2gp } from "../fakes/wan2gp.ts";

const config = {
  poll_interval_ms: 10,
  image_model: "z_image",
  audio_model: "stable_audio3_medium",
  music_model: "ace_step_v1_5",
  speech_model: "chatterbox",
};
const submit = "POST /mcp wangp_generate";
const submits = Object.fromEntries(
  Object.keys(wan2gp.capabilities).map((kind) => [kind, submit] as const),
);
/** Where a request's words become the prompt: music that is sung has its lyrics there. */
const withPrompt = (input: Readonly<Record<string, unknown>>, words: string) =>
  "lyrics" in input
    ? { ...input, lyrics: `${input.lyrics} ${words}` }
    : "text" in input
      ? { ...input, text: `${input.text} ${words}` }
      : { ...input, prompt: `${input.prompt} ${words}` };

for (const mcp of ["1.10", "1.30", "2.3"] as const) {
  testPlugin(wan2gp, { fake: () => startFakeWan2gp({ mcp }), config, submits, withPrompt });
}
testPlugin(wan2gp, {
  fake: () => startFakeWan2gp({ unstructured: true, foreignAddresses: true }),
  config,
  submits,
  withPrompt,
});
