/** What the plugin promises, tried against the fake. Add what is special about this server. */
import { expect, test } from "bun:test";
import { createTestContext, createTestJob, testPlugin } from "switchyard/sdk/testing";
import { startFakeTemplateServer } from "../typescript/fake.ts";
import plugin from "./plugin.ts";

testPlugin(plugin, { fake: startFakeTemplateServer });

test("the picture has the server's own name", async () => {
  const fake = await startFakeTemplateServer();
  const job = createTestJob({ prompt: "a signal box" });
  await plugin.capabilities["image.generate"].run(job, createTestContext(plugin, fake.url));
  expect(job.artifacts).toMatchObject([{ mediaType: "image/png" }]);
  await fake.stop();
});
