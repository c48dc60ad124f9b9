/** Stable Audio's two pages, on real Gradio servers with their interfaces. */
import { expect } from "bun:test";
import { Value } from "@sinclair/typebox/value";
import { t } from "switchyard/sdk";
import { createTestContext, createTestJob } from "switchyard/sdk/testing";
import plugin from "../../plugins/stable-audio/plugin.ts";
import { silence } from "../fakes/cli/stage.ts";
import { testOnTwins, testTwin } from "../twins/conformance.ts";
import type { Twin } from "../twins/twin.ts";

const TOOLS = "stable-audio-tools-0.0.19";
const THREE = "stable-audio-3";
const HOSTILE = "$(touch x) `id` \"quoted\" 'too' ; rm -rf ../..\n\r%s {{x}} \\";
/** Options that tell the two apart are options all the same. */
const OWN: Record<string, readonly string[]> = {
  [TOOLS]: ["sampler_type", "seconds_start", "sigma_min"],
  [THREE]: ["sigma_max", "apg_scale", "duration_padding_sec"],
};
const SOUND = "7a1de9d2-b45d-4bd6-8a39-6f8a3f5cbb10";

const hang = "nothing can stop a Gradio function that runs, so the run lasts as long as it does";

for (const signature of [TOOLS, THREE]) testOnTwins(plugin, { signature, without: { hang } });

const capability = plugin.capabilities["audio.generate"];

const run = async ({ url }: Twin, input: any) => {
  const ctx = createTestContext(plugin, url);
  const sound = new File([silence()], "../../evil.wav", { type: "audio/wav" });
  const job = createTestJob(input, { files: { [SOUND]: sound } });
  const output: any = await capability.run(job, ctx);
  return { output, job };
};

testTwin({
  name: "stable-audio-tools takes its seed as text, whole seconds, and no other file name",
  signature: TOOLS,
  async check(twin) {
    const input = { prompt: HOSTILE, duration_seconds: 2, seed: 41, cfg: 5, steps: 20 };
    const { output, job } = await run(twin, input);
    expect(twin.runs[0]).toMatchObject({
      prompt: HOSTILE,
      negative_prompt: null,
      seconds_start: 0,
      seconds_total: 2,
      seed: "41",
      cfg_scale: 5,
      steps: 20,
      file_naming: "output.wav",
      file_format: "wav",
    });
    expect(output).toMatchObject({ seed: 41, duration_seconds: 2 });
    expect(output.files).toEqual([job.artifacts[0]!.url]);
    expect(new TextDecoder().decode(job.artifacts[0]!.bytes.slice(0, 4))).toBe("RIFF");
  },
});

testTwin({
  name: "Stable Audio 3 takes its seed as a number, and its naming by prompt is overruled",
  signature: THREE,
  async check(twin) {
    const { output } = await run(twin, { prompt: HOSTILE });
    const [given] = twin.runs;
    expect(given).toMatchObject({
      prompt: HOSTILE,
      seconds_total: 120,
      file_naming: "output.wav",
      file_format: "wav",
    });
    expect(Number.isInteger(given!.seed)).toBe(true);
    expect(given!.seed).toBe(output.seed);
  },
});

testTwin({
  name: "stable-audio-tools starts from a sound with a deviation for the strength",
  signature: TOOLS,
  async check(twin) {
    const init_audio = { artifact_id: SOUND };
    await run(twin, { prompt: "x", duration_seconds: 1, init_audio, strength: 0.5 });
    const { init_audio: sound, init_noise_level } = twin.runs[0]!;
    expect(sound).toEqual({ name: expect.stringMatching(/^[\w-]+\.wav$/), bytes: 1_644 });
    expect(init_noise_level).toBeCloseTo(Math.sqrt(0.1 * 100), 3);
  },
});

testTwin({
  name: "Stable Audio 3 starts from a sound with the strength as it is",
  signature: THREE,
  async check(twin) {
    const init_audio = { artifact_id: SOUND };
    await run(twin, { prompt: "x", duration_seconds: 1, init_audio, strength: 0.5 });
    expect(twin.runs[0]).toMatchObject({ init_noise_level: 0.5 });
  },
});

for (const signature of [TOOLS, THREE]) {
  testTwin({
    name: "the options are what the server declares, without anything that names a file",
    signature,
    async check({ url }) {
      const ctx = createTestContext(plugin, url);
      const options = await capability.options!(ctx, AbortSignal.timeout(5_000));
      const names = Object.keys(options);
      expect(names).toEqual(expect.arrayContaining(OWN[signature]!));
      for (const name of ["file_naming", "file_format", "init_audio", "inpaint_audio", "prompt"]) {
        expect(names).not.toContain(name);
      }
      const schema = t.Object(options, { additionalProperties: false });
      expect(Value.Check(schema, { cfg_rescale: 0.5 })).toBe(true);
      expect(Value.Check(schema, { cfg_rescale: 2 })).toBe(false);
      expect(Value.Check(schema, { sampler_type: "no-such-sampler" })).toBe(false);
    },
  });
  testTwin({
    name: "an option that names a file is refused, and nothing runs",
    signature,
    async check(twin) {
      const named = run(twin, { prompt: "x", options: { file_naming: "prompt" } });
      await expect(named).rejects.toMatchObject({ code: "BACKEND_REJECTED" });
      expect(twin.runs).toHaveLength(0);
    },
  });
}

testTwin({
  name: "more seconds than the model can make are refused with its limit",
  signature: THREE,
  async check(twin) {
    const long = run(twin, { prompt: "x", duration_seconds: 300 });
    await expect(long).rejects.toMatchObject({
      code: "BACKEND_REJECTED",
      message: expect.stringContaining("120"),
    });
  },
});

testTwin({
  name: "health says which of the two pages it found",
  signature: TOOLS,
  async check({ url, version }) {
    const ctx = createTestContext(plugin, url);
    expect(await plugin.health(ctx, AbortSignal.timeout(5_000))).toEqual({
      status: "ready",
      version: `stable-audio-tools Gradio ${version}`,
    });
  },
});

testTwin({
  name: "another Gradio program is refused with what it lacks",
  signature: "audiocraft-musicgen",
  async check({ url }) {
    const ctx = createTestContext(plugin, url);
    const asked = Promise.resolve(plugin.health(ctx, AbortSignal.timeout(5_000)));
    await expect(asked).rejects.toMatchObject({
      code: "BACKEND_MISMATCH",
      message: expect.stringContaining("/generate"),
    });
  },
});

testTwin({
  name: "a page of the other kind than the settings name is degraded, with the difference",
  signature: THREE,
  async check({ url }) {
    const ctx = createTestContext(plugin, url, { variant: "stable-audio-tools" });
    expect(await plugin.health(ctx, AbortSignal.timeout(5_000))).toMatchObject({
      status: "degraded",
      reason: expect.stringContaining("seconds_start"),
    });
  },
});
