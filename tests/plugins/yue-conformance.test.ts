/** The conformance suite over every variant of YuE: named, found by looking, and as commands. */
import { afterAll, describe } from "bun:test";
import { testPlugin } from "switchyard/sdk/testing";
import yue from "../../plugins/yue/plugin.ts";
import { startFakeYue } from "../fakes/yue.ts";
import { createV1, createYue2, startFakeYueGp, startingOver, withoutServer } from "./yue-cases.ts";

const v1 = createV1();
const yue2 = createYue2();
afterAll(() => {
  v1.remove();
  yue2.remove();
});
const RUN = { "music.generate": "RUN" };

describe("yue2.cpp", () =>
  testPlugin(yue, { fake: startFakeYue, config: { variant: "yue2.cpp" } }));
describe("yue2.cpp, found by looking", () => testPlugin(yue, { fake: startFakeYue }));
for (const gradio of ["4.44.1", "5.49.1", "6.25.0"]) {
  const fake = () => startFakeYueGp({ gradio });
  describe(`YuEGP on Gradio ${gradio}`, () =>
    testPlugin(startingOver, { fake, config: { variant: "yuegp" } }));
}
describe("YuEGP, found by looking", () => testPlugin(startingOver, { fake: startFakeYueGp }));
describe("YuE2", () =>
  testPlugin(withoutServer, { fake: yue2.stage.start, config: yue2.config, submits: RUN }));
describe("YuE v1", () =>
  testPlugin(withoutServer, { fake: v1.stage.start, config: v1.config, submits: RUN }));
