/** AudioCraft's two demos as stand-ins: the conformance suite, and what follows from the settings. */
import { describe, expect, test } from "bun:test";
import { createTestContext, testPlugin } from "switchyard/sdk/testing";
import plugin from "../../plugins/audiocraft/plugin.ts";
import { startFakeAudioCraft } from "../fakes/audiocraft.ts";
import { startingOver } from "../twins/conformance.ts";

const page = startingOver(plugin);

for (const variant of ["musicgen", "magnet"] as const) {
  describe(variant, () => {
    testPlugin(page, {
      fake: () => startFakeAudioCraft({ signature: `audiocraft-${variant}` }),
      config: { variant },
    });
  });
}

const configOf = (settings: Record<string, unknown>) =>
  createTestContext(plugin, undefined, settings).config;

test("It offers what the program that the settings name can make", () => {
  const offered = (variant: string) => plugin.offers!(configOf({ variant }));
  expect(offered("musicgen")).toEqual(["music.generate"]);
  expect(offered("magnet")).toEqual(["music.generate", "audio.generate"]);
  expect(offered("audiogen")).toEqual(["audio.generate"]);
  expect(offered("auto")).toEqual(["music.generate", "audio.generate"]);
});

test("with auto, what answers decides: a MusicGen makes no sounds", async () => {
  for (const [variant, offers] of [
    ["musicgen", ["music.generate"]],
    ["magnet", undefined],
  ] as const) {
    const fake = await startFakeAudioCraft({ signature: `audiocraft-${variant}` });
    const ctx = createTestContext(plugin, fake.url);
    const health: any = await plugin.health(ctx, AbortSignal.timeout(5_000));
    expect([variant, health.status, health.offers]).toEqual([variant, "ready", offers]);
    await fake.stop();
  }
});

test("MAGNeT takes no duration, which its model decides", () => {
  const { takes } = plugin.capabilities["music.generate"];
  expect(takes!(configOf({ variant: "magnet" }))).not.toContain("duration_seconds");
  expect(takes!(configOf({ variant: "musicgen" }))).toContain("duration_seconds");
});

test("A larger model costs more, under its own name", () => {
  const { vram } = plugin.capabilities["music.generate"];
  const costs = ["small", "medium", "large"].map((size) =>
    vram!({ prompt: "x", model: `facebook/musicgen-${size}` }, configOf({})),
  );
  const totals = costs.map(({ residentMiB, workingMiB }) => residentMiB + workingMiB);
  expect(totals).toEqual([...totals].sort((one, other) => one - other));
  expect(new Set(costs.map(({ model }) => model)).size).toBe(3);
  // Users see about 12 GB for a medium model.
  expect(totals[1]).toBe(12_000);
});

test("Its licence is shown", () => {
  expect(plugin.notice).toContain("CC BY-NC 4.0");
});
