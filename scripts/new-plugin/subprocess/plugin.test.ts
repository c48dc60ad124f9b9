/** What the plugin promises, tried against the fake. Add what is special about this program. */
import { expect, test } from "bun:test";
import { createTestContext, createTestJob, testPlugin } from "switchyard/sdk/testing";
import { settings, startFakeTemplateServer } from "./fake.ts";
import plugin from "./plugin.ts";

testPlugin(plugin, {
  fake: startFakeTemplateServer,
  config: settings,
  submits: { "audio.generate": "RUN" },
});

test("a prompt stays a prompt, whatever is in it", async () => {
  await startFakeTemplateServer();
  const job = createTestJob({ prompt: '--out=/tmp/x "$(reboot)" `reboot`\n; reboot' });
  await plugin.capabilities["audio.generate"].run(
    job,
    createTestContext(plugin, undefined, settings),
  );
  expect(job.artifacts).toMatchObject([{ name: "sound.wav" }]);
});
