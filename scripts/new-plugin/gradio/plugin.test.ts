/** What the plugin promises, tried against the fake. Add what is special about this program. */
import { expect, test } from "bun:test";
import { createTestContext, createTestJob, testPlugin } from "switchyard/sdk/testing";
import { startFakeTemplateServer } from "./fake.ts";
import plugin from "./plugin.ts";

testPlugin(plugin, { fake: startFakeTemplateServer });

test("options are what the page has, without what the plugin fills in", async () => {
  const fake = await startFakeTemplateServer();
  const ctx = createTestContext(plugin, fake.url);
  const { options, run } = plugin.capabilities["audio.generate"];
  const known = await options?.(ctx, AbortSignal.timeout(5_000));
  expect(Object.keys(known ?? {})).toEqual(["cfg_scale"]);
  const job = createTestJob({ prompt: "a whistle", options: { cfg_scale: 3 } });
  await run(job, ctx);
  expect(job.artifacts).toMatchObject([{ name: "output.wav" }]);
  await fake.stop();
});
