/** The conformance suite over every AllTalk that the plugin knows. */
import { testPlugin } from "switchyard/sdk/testing";
import alltalk from "../../plugins/alltalk/plugin.ts";
import { startFakeAllTalk } from "../fakes/alltalk.ts";

const without = { hang: "AllTalk cannot be stopped; see the tests of its cancel" } as const;

testPlugin(alltalk, { fake: () => startFakeAllTalk(), without });
testPlugin(alltalk, { fake: () => startFakeAllTalk({ version: 1 }), without });
testPlugin(alltalk, {
  fake: () => startFakeAllTalk({ engine: "vits" }),
  config: { engine: "vits" },
  without,
});
testPlugin(
  // Its voices need no GPU, so there is nothing to free.
  { ...alltalk, name: "alltalk-piper", free: undefined, frees: undefined },
  { fake: () => startFakeAllTalk({ engine: "piper" }), config: { engine: "piper" }, without },
);
