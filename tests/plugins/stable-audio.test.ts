/** Stable Audio's two pages as stand-ins: the conformance suite, and what changes under it. */
import { describe, expect, test } from "bun:test";
import { createTestContext, createTestJob, testPlugin } from "switchyard/sdk/testing";
import plugin from "../../plugins/stable-audio/plugin.ts";
import type { FakeGradio, FakeGradioOptions } from "../fakes/gradio.ts";
import { startFakeStableAudio } from "../fakes/stable-audio.ts";
import { eventually } from "../gateway.ts";
import { startingOver } from "../twins/conformance.ts";

const hang = "nothing can stop a Gradio function that runs, so the run lasts as long as it does";
const page = startingOver(plugin);

for (const signature of ["stable-audio-tools-0.0.19", "stable-audio-3"] as const) {
  describe(signature, () => {
    testPlugin(page, { fake: () => startFakeStableAudio({ signature }), without: { hang } });
    testPlugin(page, {
      fake: () => startFakeStableAudio({ signature, gradio: "6.31.0" }),
      config: { variant: signature.replace("-0.0.19", ""), serves: ["music.generate"] },
      without: { hang },
    });
  });
}

const capability = plugin.capabilities["audio.generate"];

const withFake = async (options: FakeGradioOptions, work: (fake: FakeGradio) => Promise<void>) => {
  const fake = await startFakeStableAudio(options);
  try {
    await work(fake);
  } finally {
    await fake.stop();
  }
};
const soon = () => AbortSignal.timeout(5_000);

test("A server that was replaced by the other kind is recognised", () =>
  withFake({}, async (fake) => {
    const ctx = createTestContext(plugin, fake.url);
    const run = () => Promise.resolve(capability.run(createTestJob({ prompt: "x" }), ctx));
    await run();
    fake.restart({ signature: "stable-audio-3" });
    await eventually("it is ready as the other one", async () => {
      const health = await Promise.resolve(plugin.health(ctx, soon())).catch(() => undefined);
      return health?.status === "ready" && health.version?.startsWith("stable-audio-3");
    });
    expect(await run()).toMatchObject({ files: [expect.any(String)] });
  }));

test("A server with a login is spoken to with the settings' name and password", () =>
  withFake({ login: { username: "ada", password: "secret" } }, async ({ url }) => {
    const own = { variant: "stable-audio-tools", username: "ada" };
    const right = createTestContext(plugin, url, { ...own, password: "secret" });
    expect(await plugin.health(right, soon())).toMatchObject({ status: "ready" });
    const wrong = createTestContext(plugin, url, { ...own, password: "guess" });
    const asked = Promise.resolve(plugin.health(wrong, soon()));
    await expect(asked).rejects.toMatchObject({ code: "BACKEND_UNAUTHORIZED" });
  }));

test("A failure that the server keeps to itself says how to see it", () =>
  withFake({ showError: false }, async ({ url }) => {
    const job = createTestJob({ prompt: "oom" });
    const ran = Promise.resolve(capability.run(job, createTestContext(plugin, url)));
    await expect(ran).rejects.toMatchObject({
      code: "BACKEND_FAILED",
      message: expect.stringContaining("show_error"),
    });
  }));

test("The spectrogram is kept as a preview beside the sound", () =>
  withFake({}, async ({ url }) => {
    const roles: unknown[] = [];
    const job = createTestJob({ prompt: "x" });
    const noted: typeof job = {
      ...job,
      artifact: (body, options) => {
        roles.push([options.name, options.role ?? "output"]);
        return job.artifact(body, options);
      },
    };
    const output = await capability.run(noted, createTestContext(plugin, url));
    expect(roles).toEqual([
      [expect.stringMatching(/^audio\.wav$/), "output"],
      [expect.stringMatching(/^spectrogram\.\w+$/), "preview"],
    ]);
    expect(output).toMatchObject({ files: [job.artifacts[0]!.url] });
  }));

test("It offers what the settings say that the model is for", () => {
  const offered = (settings: Record<string, unknown>) =>
    plugin.offers!(createTestContext(plugin, undefined, settings).config);
  expect(offered({})).toEqual(["audio.generate", "music.generate"]);
  expect(offered({ serves: ["audio.generate"] })).toEqual(["audio.generate"]);
});

test("A strength without a sound to start from is refused", () => {
  const { config } = createTestContext(plugin);
  expect(capability.check!({ prompt: "x", strength: 0.5 }, config)).toContain("init_audio");
});

test("A model is chosen by a request only where the command loads it", () => {
  const taken = (settings: Record<string, unknown>) =>
    capability.takes!(createTestContext(plugin, undefined, settings).config);
  expect(taken({})).not.toContain("model");
  expect(taken({})).toContain("options");
  expect(taken({ variant: "command" })).toContain("model");
  expect(taken({ variant: "command" })).not.toContain("options");
});
