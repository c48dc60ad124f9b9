/** The conformance suite of the SDK for the Ollama plugin: for a prompt, and for a chat. */
import { testPlugin } from "switchyard/sdk/testing";
import plugin from "../../plugins/ollama/plugin.ts";
import { startFakeOllama } from "../fakes/ollama.ts";

testPlugin(plugin, { fake: () => startFakeOllama() });

testPlugin(plugin, {
  fake: () => startFakeOllama(),
  config: { embed_on_cpu: true, num_ctx: { "llama3.1:8b": 8_192 } },
  inputs: {
    "text.generate": { messages: [{ role: "user", content: "Which train leaves first?" }] },
  },
  withPrompt: (input, words) =>
    Array.isArray(input.messages)
      ? { ...input, messages: [{ role: "user", content: words }] }
      : { ...input, texts: [words] },
});
