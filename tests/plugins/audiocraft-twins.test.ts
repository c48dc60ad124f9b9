/** AudioCraft's two demos, on real Gradio servers with their interfaces. */
import { expect } from "bun:test";
import { createTestContext, createTestJob } from "switchyard/sdk/testing";
import plugin from "../../plugins/audiocraft/plugin.ts";
import { silence } from "../fakes/cli/stage.ts";
import { eventually } from "../gateway.ts";
import { testOnTwins, testTwin } from "../twins/conformance.ts";
import type { Twin } from "../twins/twin.ts";

const MUSICGEN = "audiocraft-musicgen";
const MAGNET = "audiocraft-magnet";
const MELODY = "7a1de9d2-b45d-4bd6-8a39-6f8a3f5cbb10";

// Gradio 5 has no make_waveform, without which the programs fail at the end of each run.
testOnTwins(plugin, { signature: MUSICGEN, majors: [4], config: { variant: "musicgen" } });
testOnTwins(plugin, { signature: MAGNET, majors: [4], config: { variant: "magnet" } });

type Kind = "music.generate" | "audio.generate";

const start = ({ url }: Twin, kind: Kind, input: any, config = {}) => {
  const ctx = createTestContext(plugin, url, config);
  const melody = new File([silence()], "tune.wav", { type: "audio/wav" });
  const job = createTestJob(input, { files: { [MELODY]: melody } });
  const running = Promise.resolve(plugin.capabilities[kind].run(job, ctx)) as Promise<any>;
  running.catch(() => {});
  return { ctx, job, running };
};

testTwin({
  name: "MusicGen gets the melody, no model path, and gives its sound alone",
  signature: MUSICGEN,
  majors: [4],
  async check(twin) {
    const init_audio = { artifact_id: MELODY };
    const input = {
      prompt: "bluegrass",
      model: "facebook/musicgen-melody",
      duration_seconds: 2,
      cfg: 4,
      init_audio,
      options: { topk: 100 },
    };
    const { job, running } = start(twin, "music.generate", input);
    const output = await running;
    expect(twin.runs[0]).toEqual({
      model: "facebook/musicgen-melody",
      model_path: "",
      decoder: "Default",
      text: "bluegrass",
      melody: { name: expect.stringMatching(/\.wav$/), bytes: 1_644 },
      duration: 2,
      topk: 100,
      topp: 0,
      temperature: 1,
      cfg_coef: 4,
    });
    expect(output).toEqual({
      files: [job.artifacts[0]!.url],
      model: "facebook/musicgen-melody",
      duration_seconds: 2,
    });
    const fractions = job.progressed.flatMap(({ fraction }) => fraction ?? []);
    expect(fractions.length).toBeGreaterThan(0);
  },
});

testTwin({
  name: "MAGNeT makes sounds with its sound model, in two variations",
  signature: MAGNET,
  majors: [4],
  async check(twin) {
    const { job, running } = start(twin, "audio.generate", { prompt: "rain" });
    expect((await running).files).toHaveLength(2);
    expect(job.artifacts).toHaveLength(2);
    expect(twin.runs[0]).toMatchObject({
      model: "facebook/audio-magnet-medium",
      model_path: "",
      text: "rain",
    });
  },
});

testTwin({
  name: "MAGNeT makes music with its music model",
  signature: MAGNET,
  majors: [4],
  async check(twin) {
    await start(twin, "music.generate", { prompt: "rain" }).running;
    expect(twin.runs[0]).toMatchObject({ model: "facebook/magnet-small-10secs" });
  },
});

testTwin({
  name: "a field that the program found has no use for is refused, and nothing runs",
  signature: MAGNET,
  majors: [4],
  async check(twin) {
    const { running } = start(twin, "music.generate", { prompt: "rain", duration_seconds: 20 });
    await expect(running).rejects.toMatchObject({ code: "BACKEND_REJECTED" });
    expect(twin.runs).toHaveLength(0);
  },
});

testTwin({
  name: "a cancelled run is interrupted at its next token, and the next one is not",
  signature: MUSICGEN,
  majors: [4],
  async check(twin) {
    const first = start(twin, "music.generate", { prompt: "hang" });
    await eventually("it runs", () => twin.runs.length === 1);
    await first.job.cancel();
    await expect(first.running).rejects.toThrow();
    expect(twin.ended).toBe(1);
    const second = await start(twin, "music.generate", { prompt: "x" }).running;
    expect(second.files).toHaveLength(1);
  },
});

testTwin({
  name: "sounds are not asked of MusicGen",
  signature: MUSICGEN,
  majors: [4],
  async check(twin) {
    const { running } = start(twin, "audio.generate", { prompt: "rain" });
    await expect(running).rejects.toMatchObject({
      code: "BACKEND_MISMATCH",
      message: expect.stringContaining("decoding_steps1"),
    });
    expect(twin.runs).toHaveLength(0);
  },
});

testTwin({
  name: "the models are those of the program that answers",
  signature: MUSICGEN,
  async check({ url }) {
    const ctx = createTestContext(plugin, url);
    const models = await plugin.models!(ctx, AbortSignal.timeout(5_000));
    expect(models).toHaveLength(10);
    expect(models.map(({ name }) => name)).toContain("facebook/musicgen-stereo-melody");
  },
});

for (const signature of [MUSICGEN, MAGNET]) {
  for (const config of [{}, { variant: signature.replace("audiocraft-", "") }]) {
    const how = Object.keys(config).length === 0 ? "found out" : "named";
    testTwin({
      name: `is degraded on a Gradio that fails at the end of every run, and says why (${how})`,
      signature,
      majors: [5, 6],
      async check({ url, version }) {
        const ctx = createTestContext(plugin, url, config);
        expect(await plugin.health(ctx, AbortSignal.timeout(5_000))).toEqual({
          status: "degraded",
          reason: expect.stringMatching(
            new RegExp(`Gradio ${version.replaceAll(".", "\\.")}.*make_waveform.*gradio<5`),
          ),
        });
      },
    });
  }
  testTwin({
    name: "runs nothing on a Gradio that would fail at the end",
    signature,
    majors: [5, 6],
    async check(twin) {
      const { running } = start(twin, "music.generate", { prompt: "x" });
      await expect(running).rejects.toMatchObject({
        code: "BACKEND_MISMATCH",
        message: expect.stringContaining("make_waveform"),
      });
      expect(twin.runs).toHaveLength(0);
    },
  });
}
