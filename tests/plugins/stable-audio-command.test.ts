/** Stable Audio 3 by its command: the conformance suite, and what its arguments are. */
import { afterAll, expect, test } from "bun:test";
import { createTestContext, createTestJob, testPlugin } from "switchyard/sdk/testing";
import plugin from "../../plugins/stable-audio/plugin.ts";
import { createStage } from "../fakes/cli/stage.ts";

const stage = createStage("stable-audio.ts");
afterAll(() => stage.remove());
const config = { variant: "command", command: [...stage.command] };
// A command has no address at which something else could answer.
const command = { ...plugin, defaultUrl: undefined };

testPlugin(command, {
  fake: stage.start,
  config,
  submits: { "audio.generate": "RUN", "music.generate": "RUN" },
});

const run = async (input: any, settings = {}, files = {}) => {
  await stage.start();
  const ctx = createTestContext(command, undefined, { ...config, ...settings });
  const job = createTestJob(input, { files });
  const output: any = await plugin.capabilities["audio.generate"].run(job, ctx);
  return { job, output, ran: stage.runs[0] };
};

test("A prompt stays one argument, whatever stands in it", async () => {
  const prompt = "--model=evil $(touch x) `id` \"quoted\" 'too'\n; rm -rf ../..";
  const { ran } = await run({ prompt });
  expect(ran.prompt).toBe(prompt);
  expect(ran.model).toBe("medium");
});

test("The fields of a request become options, and the seed is told when none was asked for", async () => {
  const id = "7a1de9d2-b45d-4bd6-8a39-6f8a3f5cbb10";
  const sound = new File([Buffer.from("RIFF and more")], "../../evil.wav", { type: "audio/wav" });
  const { ran, output, job } = await run(
    {
      prompt: "a train",
      negative_prompt: "birds",
      model: "small-sfx",
      duration_seconds: 12,
      steps: 9,
      cfg: 2.5,
      strength: 0.4,
      init_audio: { artifact_id: id },
    },
    { chunked_decode: true },
    { [id]: sound },
  );
  expect(ran).toMatchObject({
    model: "small-sfx",
    "negative-prompt": "birds",
    duration: "12",
    steps: "9",
    "cfg-scale": "2.5",
    "init-noise-level": "0.4",
    "chunked-decode": true,
  });
  expect(ran["init-audio"]).not.toContain("evil");
  expect(String(output.seed)).toBe(ran.seed);
  expect(output).toMatchObject({ model: "small-sfx", files: [job.artifacts[0]!.url] });
  expect(job.artifacts[0]!.mediaType).toBe("audio/wav");
  const fractions = job.progressed.flatMap(({ fraction }) => fraction ?? []);
  expect(fractions.at(-1)).toBeGreaterThan(0.9);
});

test("Health says which program is missing", async () => {
  const ctx = createTestContext(command, undefined, {
    variant: "command",
    command: ["no-such-stable-audio"],
  });
  expect(await plugin.health(ctx, AbortSignal.timeout(1_000))).toMatchObject({
    status: "down",
    reason: expect.stringContaining("no-such-stable-audio"),
  });
});

test("The command's memory is back when it ends, so nothing of it counts as resident", () => {
  const { vram } = plugin.capabilities["audio.generate"];
  const at = (settings: Record<string, unknown>, input: object = {}) =>
    vram!({ prompt: "x", ...input }, createTestContext(plugin, undefined, settings).config);
  expect(at(config)).toMatchObject({ model: "medium", residentMiB: 0 });
  // Published for 380 s on an H200: 6.52 GB, without what CUDA itself takes.
  const { workingMiB } = at(config, { duration_seconds: 380 });
  expect(workingMiB).toBeGreaterThan(6_520);
  expect(workingMiB).toBeLessThan(8_000);
  const small = at(config, { model: "small-music", duration_seconds: 120 });
  expect(small.workingMiB).toBeGreaterThan(2_400);
  expect(small.workingMiB).toBeLessThan(3_500);
  expect(at({ variant: "stable-audio-tools" }).residentMiB).toBeGreaterThan(0);
});

test("A model of a request is one that the command has by name, or the operator's own", async () => {
  const failed = run({ prompt: "a train", model: "/tmp/evil" }).catch((error) => error.code);
  expect(await failed).toBe("BACKEND_REJECTED");
  expect(stage.runs).toEqual([]);
});
