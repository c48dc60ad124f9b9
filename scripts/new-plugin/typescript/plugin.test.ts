/** What the plugin promises, tried against the fake. Add what is special about this server. */
import { expect, test } from "bun:test";
import { createTestContext, createTestJob, testPlugin } from "switchyard/sdk/testing";
import { startFakeTemplateServer } from "./fake.ts";
import plugin from "./plugin.ts";

testPlugin(plugin, { fake: startFakeTemplateServer });

test("a request without a model uses the configured one", async () => {
  const fake = await startFakeTemplateServer();
  const ctx = createTestContext(plugin, fake.url, { model: "large" });
  const job = createTestJob({ prompt: "a signal box" });
  await plugin.capabilities["image.generate"].run(job, ctx);
  const residents = await plugin.residents?.(ctx, AbortSignal.timeout(5_000));
  expect(residents).toEqual([{ model: "large", residentMiB: 4096 }]);
  await fake.stop();
});
