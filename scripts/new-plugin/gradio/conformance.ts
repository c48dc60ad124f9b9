/** What the conformance suite needs; see docs/plugins.md of Switchyard. */
import type { PluginCases } from "switchyard/sdk/testing";
import { startFakeTemplateServer } from "./fake.ts";

const cases: PluginCases = { fake: startFakeTemplateServer };
export default cases;
