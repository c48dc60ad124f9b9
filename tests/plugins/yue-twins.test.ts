/** YuEGP's interface on real Gradio servers: one session for the song, the gallery and the abort. */
import { expect } from "bun:test";
import { randomUUID } from "node:crypto";
import { BackendError } from "switchyard/sdk";
import { createTestContext, createTestJob } from "switchyard/sdk/testing";
import yue from "../../plugins/yue/plugin.ts";
import { testOnTwins, testTwin } from "../twins/conformance.ts";

const signature = "yuegp-v3";

// The suite gives its jobs one id, so they share a session and its gallery; see below.
const shared = "the gallery of the session still has the songs of the tests before";
testOnTwins(yue, { signature, without: { "null-output": shared } });

const song = yue.capabilities["music.generate"];

testTwin({
  name: "YuEGP sings one song of one line of genres, and gives the newest of its gallery",
  signature,
  async check(twin) {
    const ctx = createTestContext(yue, twin.url);
    const health = await yue.health(ctx, AbortSignal.timeout(20_000));
    expect(health).toMatchObject({ status: "ready", version: `yuegp Gradio ${twin.version}` });
    const input = { prompt: "slow\nblues", lyrics: "[Verse 1]\nla\n[chorus]\nlo", seed: 7 };
    const job = createTestJob(input);
    const output: any = await song.run(job, ctx);
    expect(twin.runs[0]).toMatchObject({
      genres_input: "slow blues",
      lyrics_input: "[verse]\nla\n\n[chorus]\nlo\n\n",
      run_n_segments: 2,
      seed: 7,
      max_new_tokens: 3_000,
      repeat_generation: 1,
    });
    expect(output).toEqual({ files: [job.artifacts[0]!.url], seed: 7 });
    expect(new TextDecoder().decode(job.artifacts[0]!.bytes.slice(0, 4))).toBe("RIFF");
  },
});

testTwin({
  name: "an empty gallery is a song that failed, whatever the status says",
  signature,
  async check(twin) {
    const ctx = createTestContext(yue, twin.url);
    const input = { prompt: "null-output", lyrics: "[verse]\nla" };
    const run = song.run(createTestJob(input, { id: randomUUID() }), ctx);
    const error: unknown = await Promise.resolve(run).catch((thrown: unknown) => thrown);
    expect(BackendError.is(error) && error.code).toBe("BACKEND_BAD_OUTPUT");
  },
});
