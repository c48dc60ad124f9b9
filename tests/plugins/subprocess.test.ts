/** The conformance suite for a backend that is settings alone. */
import { afterAll } from "bun:test";
import { testPlugin } from "switchyard/sdk/testing";
import plugin from "../../plugins/subprocess/plugin.ts";
import { createFakeProgram } from "../fakes/cli/program.ts";

const program = createFakeProgram();
afterAll(() => program.remove());

testPlugin(plugin, {
  fake: program.install,
  config: program.config,
  submits: { "audio.generate": "RUN" },
});

const music = createFakeProgram({ capability: "music.generate", vram_mib: 8_000 });
afterAll(() => music.remove());

testPlugin(plugin, {
  fake: music.install,
  config: music.config,
  submits: { "music.generate": "RUN" },
});
