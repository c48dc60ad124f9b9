/** What the conformance suite needs; see docs/plugins.md of Switchyard. */
import type { PluginCases } from "switchyard/sdk/testing";
import { settings, startFakeTemplateServer } from "./fake.ts";

const cases: PluginCases = {
  fake: startFakeTemplateServer,
  config: settings,
  // What the stand-in notes when work begins.
  submits: { "audio.generate": "RUN" },
};
export default cases;
