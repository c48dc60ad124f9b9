/** What is ugly about the programs of YuE, and what the plugin does about it. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { BackendError } from "switchyard/sdk";
import { createTestContext, createTestJob, type Fake, until } from "switchyard/sdk/testing";
import { genresForFileName, genresOf, lyricsFrom, sectionsOf } from "../../plugins/yue/lyrics.ts";
import yue from "../../plugins/yue/plugin.ts";
import { startFakeGradio } from "../fakes/gradio.ts";
import { type FakeYue, startFakeYue } from "../fakes/yue.ts";
import { createV1, createYue2, startFakeYueGp, withoutServer } from "./yue-cases.ts";

const song = yue.capabilities["music.generate"];
const v1 = createV1();
const yue2 = createYue2();
afterAll(() => {
  v1.remove();
  yue2.remove();
});
const fakes: Fake[] = [];
afterEach(async () => {
  for (const fake of fakes.splice(0)) await fake.stop();
});

async function started<Started extends Fake>(starting: Promise<Started>): Promise<Started> {
  const fake = await starting;
  fakes.push(fake);
  return fake;
}

const NASTY = "$(touch x) `id` \"quoted\" 'too' ; rm -rf ../.. | {{seed}} --seed=1";
const lyrics = "[Verse 1]\nlate train\n\n[pre-chorus]\nalmost there\n\n[Chorus]\ncarry me home";

async function failure(work: Promise<unknown>): Promise<BackendError> {
  const thrown: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (BackendError.is(thrown)) return thrown;
  throw thrown ?? new Error("expected a failure");
}

const settingsOf = (config: Record<string, unknown>) =>
  createTestContext(yue, undefined, config).config;

describe("lyrics for YuE v1 and YuEGP", () => {
  test("labels become one word, and what stands before the first is a verse", () => {
    expect(sectionsOf(`la la\n${lyrics}\r\n[ 2 ]\nx`)).toEqual([
      { label: "verse", text: "la la" },
      { label: "verse", text: "late train" },
      { label: "pre_chorus", text: "almost there" },
      { label: "chorus", text: "carry me home" },
      { label: "verse", text: "x" },
    ]);
  });

  test("a bracket in a line does not end its section, and words behind a label are its first line", () => {
    expect(sectionsOf("[chorus] hey\nsing [x2] ]\n")).toEqual([
      { label: "chorus", text: "hey\nsing (x2) )" },
    ]);
  });

  test("every section ends with an empty line", () => {
    expect(lyricsFrom(sectionsOf("[verse]\na\nb\n[outro]\nc"))).toBe(
      "[verse]\na\nb\n\n[outro]\nc\n\n",
    );
  });

  test("genres are one line; those of v1 can stand in the name of a file", () => {
    expect(genresOf({ prompt: "slow\nblues\t\u0000now" })).toBe("slow blues now");
    expect(genresOf({ prompt: "a prompt", style: "a style" })).toBe("a style");
    expect(genresForFileName("drum/bass, Bossa Nová ☃")).toBe("drum bass, Bossa Nov");
    const long = genresForFileName("word ".repeat(100));
    expect(long.length).toBeLessThanOrEqual(150);
    expect(long.endsWith("word")).toBe(true);
    expect(genresForFileName("x".repeat(400))).toHaveLength(150);
  });
});

async function runV1(input: Record<string, unknown>, more = {}, files = {}) {
  await v1.stage.start();
  const ctx = createTestContext(withoutServer, undefined, { ...v1.config, ...more });
  const job = createTestJob(input as never, { files });
  const output: any = await song.run(job, ctx);
  return { job, output, ran: v1.stage.runs[0] };
}

describe("YuE v1", () => {
  test("sings every section, also the last one and the only one", async () => {
    const { ran } = await runV1({ prompt: "blues", lyrics }, { max_sections: 3 });
    expect(ran.sung).toEqual([
      { label: "verse", text: "late train" },
      { label: "pre_chorus", text: "almost there" },
      { label: "chorus", text: "carry me home" },
    ]);
    expect(ran.run_n_segments).toBe("3");
    expect((await runV1({ prompt: "blues", lyrics: "only this" })).ran.sung).toEqual([
      { label: "verse", text: "only this" },
    ]);
  });

  test("takes the final file, not the one of the same name before it; it tells the seed", async () => {
    const { job, output } = await runV1({ prompt: "blues", lyrics: "la" });
    expect(job.artifacts).toHaveLength(1);
    expect(job.artifacts[0]).toMatchObject({ name: "song.mp3", sizeBytes: 4 * 417 });
    expect(output.seed).toBe(Number(v1.stage.runs[0].seed));
    const fractions = job.progressed.flatMap(({ fraction }) => fraction ?? []);
    expect(fractions.at(-1)).toBeGreaterThan(0.9);
  });

  test("no text of a request is an argument, and nothing in it ends the run after stage 1", async () => {
    const style = `${NASTY}/${"é".repeat(40)}\nsecond line${" word".repeat(60)}`;
    const { ran, job } = await runV1({ prompt: "p", style, lyrics: `[verse]\n${NASTY}\u0000` });
    const { genres, lyrics: _lyrics, sung, ...options } = ran;
    expect(JSON.stringify(options)).not.toMatch(/touch|quoted|rm -rf/);
    expect(genres).not.toMatch(/[/\n]/);
    expect(sung[0].text).toContain("$(touch x)");
    expect(job.artifacts).toHaveLength(1);
  });

  test("a recording to sing after is given by its path, with the model for it", async () => {
    const id = "01890a5d-ac96-774b-bcce-b302099a8099";
    const files = { [id]: new File(["RIFF"], "../evil.wav", { type: "audio/wav" }) };
    const input = { prompt: "blues", lyrics: "la", init_audio: { artifact_id: id } };
    const { ran } = await runV1(input, { reference_audio: true }, files);
    expect(ran.heard).toBe(true);
    expect(ran.audio_prompt_path).not.toContain("evil");
    expect(ran.stage1_model).toContain("icl");
  });

  test("refuses before anything runs what can never be sung", () => {
    const refused = (input: object, more = {}) =>
      song.check?.({ prompt: "blues", ...input }, settingsOf({ variant: "yue-v1", ...more }));
    expect(refused({})).toContain("lyrics are needed");
    expect(refused({ lyrics: "[verse]\n\n[chorus]\n" })).toContain("lyrics are needed");
    expect(refused({ lyrics })).toContain("at most 2");
    expect(refused({ lyrics }, { max_sections: 3 })).toBeUndefined();
    expect(refused({ lyrics: "la", style: "布鲁斯" })).toContain("Latin letters");
  });

  test("health names what is missing in its folder", async () => {
    const ctx = createTestContext(yue, undefined, { ...v1.config, folder: "/nowhere" });
    const health = await yue.health(ctx, AbortSignal.timeout(2_000));
    expect(health).toMatchObject({ status: "down", reason: expect.stringContaining("nowhere") });
  });
});

async function runYue2(input: Record<string, unknown>, more = {}) {
  await yue2.stage.start();
  const ctx = createTestContext(withoutServer, undefined, { ...yue2.config, ...more });
  const job = createTestJob(input as never);
  const output = song.run(job, ctx) as Promise<any>;
  output.catch(() => {});
  return { job, output, ran: () => yue2.stage.runs[0] };
}

describe("YuE2", () => {
  test("gets style and lyrics as they are, in a file, and the budget of the settings", async () => {
    const input = {
      prompt: "p",
      style: NASTY,
      lyrics: `[Verse 1]\n${NASTY}`,
      cfg: 1.5,
      seed: 7,
      options: { cot: "melody", abc: "X:1\nK:C\n" },
    };
    const { output, ran, job } = await runYue2(input, { budget_gib: 12 });
    expect(await output).toEqual({
      files: [job.artifacts[0]!.url],
      seed: 7,
      duration_seconds: 65.5,
      score: "X:1\nK:C\n",
      truncated: { abc: false, semantic: false },
    });
    const { asked, budget, ...options } = ran();
    expect(budget).toBe("12");
    expect(JSON.stringify(options)).not.toContain("touch");
    expect(asked).toEqual({
      id: "song",
      style: NASTY,
      lyrics: `[Verse 1]\n${NASTY}`,
      seed: 7,
      cfg_scale: 1.5,
      cot: "melody",
      abc: "X:1\nK:C\n",
    });
    expect(job.artifacts[0]).toMatchObject({ name: "song.flac", mediaType: "audio/flac" });
  });

  test("its failure.json tells why, without the folders of the machine", async () => {
    const failed = await failure((await runYue2({ prompt: "fail", lyrics: "la" })).output);
    expect(failed.code).toBe("BACKEND_FAILED");
    expect(failed.message).toContain("RuntimeError: the weights at YuE2-3B do not fit");
    expect(failed.message).not.toContain("/opt");
    const full = await failure((await runYue2({ prompt: "oom", lyrics: "la" })).output);
    expect(full.code).toBe("OUT_OF_MEMORY");
  });

  test("exit code 0 without a song is a failure", async () => {
    const empty = await failure((await runYue2({ prompt: "null-output", lyrics: "la" })).output);
    expect(empty.code).toBe("BACKEND_BAD_OUTPUT");
  });

  test("shows its stages, with the steps that it counts", async () => {
    const { output, job } = await runYue2({ prompt: "blues", lyrics: "la" });
    await output;
    const notes = job.progressed.map(({ note }) => note);
    expect(notes).toContain("decoding");
    expect(job.progressed.at(-1)?.fraction).toBeGreaterThan(0.9);
  });
});

function startCpp(fake: FakeYue, input: Record<string, unknown>, options = {}) {
  const ctx = createTestContext(yue, fake.url, { variant: "yue2.cpp" });
  const job = createTestJob({ prompt: "blues", ...input } as never, options);
  const output = song.run(job, ctx) as Promise<any>;
  output.catch(() => {});
  return { job, output };
}

describe("yue2.cpp", () => {
  test("gets every field under its own name, and texts as they are", async () => {
    const fake = await started(startFakeYue());
    const all = { style: NASTY, lyrics, duration_seconds: 65, steps: 16, cfg: 1.2, seed: 7 };
    const options = { cot: "off", mp3_bitrate: 192 };
    const { output, job } = startCpp(fake, { ...all, format: "flac", options });
    expect(await output).toEqual({ files: ["/artifacts/artifact-1"], seed: 7 });
    expect(fake.requests[0]).toEqual({
      style: NASTY,
      lyrics,
      duration: 65,
      lm_seed: 7,
      seed: 7,
      steps: 16,
      cfg_scale: 1.2,
      cot: "off",
      output_format: "wav16",
      mp3_bitrate: 192,
    });
    expect(job.artifacts[0]).toMatchObject({ name: "song.wav", metadata: { seed: 7 } });
  });

  test("a job without a seed gets one that can be sent again: the server's own would lose digits", async () => {
    const fake = await started(startFakeYue());
    const { seed } = await startCpp(fake, { lyrics }).output;
    expect(Number.isSafeInteger(seed) && seed > 0).toBe(true);
    expect(fake.requests[0]).toMatchObject({ seed, lm_seed: seed, output_format: "mp3" });
    expect((await startCpp(fake, { lyrics }).output).seed).toBe(seed);
  });

  test("the reason of a failure is in its log alone, and no word of the request comes with it", async () => {
    const fake = await started(startFakeYue());
    const failed = await failure(
      startCpp(fake, { lyrics: "fail to forget me, error of love" }).output,
    );
    expect(failed.code).toBe("BACKEND_FAILED");
    expect(failed.message).toContain("exceeds context 24576");
    expect(failed.message).not.toContain("love");
  });

  test("two songs wait for each other there, and a new client finds the song of an old one", async () => {
    const fake = await started(startFakeYue());
    const first = startCpp(fake, { lyrics: "steps=20" });
    await until(() => first.job.steps.size > 0, 5_000, "the song was not taken");
    const second = startCpp(fake, { lyrics: "la" });
    const again = startCpp(fake, { lyrics: "steps=20" }, { attempt: 2, steps: first.job.steps });
    await Promise.all([first.output, second.output, again.output]);
    expect(fake.requests).toHaveLength(2);
    expect(fake.mostAtOnce).toBe(1);
    expect(again.job.artifacts).toHaveLength(1);
  });

  test("a server that was started anew has forgotten the song", async () => {
    const fake = await started(startFakeYue());
    const steps = new Map([["yue2.cpp: submit", { kept: { id: "gone" }, facts: {} }]]);
    const { output } = startCpp(fake, { lyrics }, { attempt: 2, steps });
    expect((await failure(output)).code).toBe("BACKEND_LOST");
  });

  test("health tells its version, and that another server is none", async () => {
    const fake = await started(startFakeYue());
    const ctx = createTestContext(yue, fake.url);
    expect(await yue.health(ctx, AbortSignal.timeout(5_000))).toEqual({
      status: "ready",
      version: "yue2.cpp fake",
    });
    const other = await started(startFakeGradio({ signature: "audiocraft-musicgen" }));
    const wrong = createTestContext(yue, other.url, { variant: "yue2.cpp" });
    const refused = await failure(yue.health(wrong, AbortSignal.timeout(5_000)));
    expect(refused.code).toBe("BACKEND_MISMATCH");
  });
});

function startGp(url: string, input: Record<string, unknown>, more = {}) {
  const ctx = createTestContext(yue, url, { variant: "yuegp", ...more });
  const job = createTestJob({ prompt: "blues", lyrics, ...input } as never);
  const output = song.run(job, ctx) as Promise<any>;
  output.catch(() => {});
  return { job, output };
}

/** The call of /generate_song by parameter name. */
function sung(fake: Awaited<ReturnType<typeof startFakeYueGp>>) {
  const captured = JSON.parse(
    readFileSync(new URL("../fixtures/gradio/yuegp-v3.json", import.meta.url), "utf8"),
  );
  const names = captured.info.named_endpoints["/generate_song"].parameters.map(
    ({ parameter_name }: { parameter_name: string }) => parameter_name,
  );
  const call = fake.joined.find(({ data }) => data.length === names.length + 1);
  return Object.fromEntries(names.map((name: string, at: number) => [name, call?.data[at]]));
}

describe("YuEGP", () => {
  test("one line of genres is one song, lyrics end with a line, and options change neither", async () => {
    const fake = await started(startFakeYueGp());
    const options = { prompt_start_time: 3 };
    const input = { style: "slow\nblues", seed: 5_000_000_000, duration_seconds: 90, options };
    const { output, job } = startGp(fake.url, input);
    expect(await output).toEqual({
      files: ["/artifacts/artifact-1"],
      seed: 1 + (5e9 % 999_999_999),
    });
    expect(sung(fake)).toMatchObject({
      genres_input: "slow blues",
      lyrics_input:
        "[verse]\nlate train\n\n[pre_chorus]\nalmost there\n\n[chorus]\ncarry me home\n\n",
      run_n_segments: 3,
      max_new_tokens: 3_000,
      prompt_start_time: 3,
      repeat_generation: 1,
    });
    expect(job.artifacts[0]?.name).toMatch(/^song\./);
  });

  test("what may be chosen in options leaves out what the plugin fills in or holds", async () => {
    const fake = await started(startFakeYueGp());
    const ctx = createTestContext(yue, fake.url);
    const options = await song.options?.(ctx, AbortSignal.timeout(5_000));
    expect(Object.keys(options ?? {}).sort()).toEqual(["prompt_end_time", "prompt_start_time"]);
  });

  test("a song that was aborted is a failure, although the server calls it a success", async () => {
    const said = "Song Generation Aborted. Total Generation Time: 3.1s";
    const fake = await started(
      startFakeYueGp({
        garble: (message) =>
          message.msg === "process_completed"
            ? { ...message, output: { data: [said], is_generating: false } }
            : message,
      }),
    );
    const aborted = await failure(startGp(fake.url, {}).output);
    expect([aborted.code, aborted.message]).toEqual([
      "BACKEND_FAILED",
      expect.stringContaining("Song Generation Aborted"),
    ]);
  });

  test("success without a song in the gallery is a failure", async () => {
    const fake = await started(startFakeYueGp());
    const empty = await failure(startGp(fake.url, { prompt: "null-output" }).output);
    expect(empty.code).toBe("BACKEND_BAD_OUTPUT");
  });

  test("a cancel aborts the song while it is sung", async () => {
    const fake = await started(startFakeYueGp());
    const { output, job } = startGp(fake.url, { prompt: "hang" });
    const sings = () => job.progressed.some(({ note }) => note?.includes("steps"));
    await until(sings, 4_000, "no progress");
    await job.cancel();
    const thrown = await output.catch((error: unknown) => error);
    expect(String(thrown)).toContain("the job was cancelled");
    expect(fake.stopped).toBe(true);
  });

  test("lyrics that are missing are refused, also when the server was found by looking", async () => {
    const fake = await started(startFakeYueGp());
    const { output } = startGp(fake.url, { lyrics: undefined }, { variant: "auto" });
    const refused = await failure(output);
    expect([refused.code, refused.message]).toEqual([
      "BACKEND_REJECTED",
      expect.stringContaining("lyrics are needed"),
    ]);
  });
});

test("another Gradio app at the address is named, with what a YuE server would have", async () => {
  const other = await started(startFakeGradio({ signature: "stable-audio-3", title: "Stable" }));
  const ctx = createTestContext(yue, other.url);
  const error = await failure(yue.health(ctx, AbortSignal.timeout(5_000)));
  expect(error.code).toBe("BACKEND_MISMATCH");
  expect(error.message).toContain("/generate_song");
  expect(error.message).toContain("/props");
});

test("each variant takes what its program knows, and auto what both servers know", () => {
  const takes = (config: Record<string, unknown>) => song.takes?.(settingsOf(config)) ?? [];
  expect(takes({ variant: "yue2.cpp" })).toContain("steps");
  for (const variant of ["auto", "yuegp", "yue2", "yue-v1"]) {
    expect(takes({ variant })).not.toContain("steps");
    expect(takes({ variant })).not.toContain("init_audio");
  }
  expect(takes({ variant: "yuegp", reference_audio: true })).toContain("init_audio");
  expect(takes({ variant: "yue2", reference_audio: true })).not.toContain("init_audio");
  for (const variant of ["auto", "yue2.cpp", "yuegp", "yue2", "yue-v1"]) {
    for (const name of takes({ variant })) expect(song.input.properties).toHaveProperty(name);
  }
});

test("each variant's cost fits the card that its authors name", () => {
  const cost = (config: Record<string, unknown>, input = {}) =>
    song.vram?.({ prompt: "blues", lyrics: "la", ...input }, settingsOf(config));
  const total = (config: Record<string, unknown>, input = {}) => {
    const { residentMiB = 0, workingMiB = 0 } = cost(config, input) ?? {};
    return residentMiB + workingMiB;
  };
  expect(cost({ variant: "yue2.cpp" })).toMatchObject({ model: "yue2", residentMiB: 0 });
  expect(cost({ variant: "yue2.cpp", keep_loaded: true })?.residentMiB).toBeGreaterThan(4_000);
  expect(total({ variant: "yuegp", profile: 4 })).toBeLessThan(10_000);
  expect(total({ variant: "yuegp", profile: 1 })).toBeGreaterThan(15_000);
  expect(total({ variant: "auto" })).toBeGreaterThan(total({ variant: "yue2.cpp" }));
  // A card of 24 GB has 24,564 MiB.
  expect(total({ variant: "yue2" })).toBeLessThan(24_064);
  expect(total({ variant: "yue2", budget_gib: 12 })).toBe(12 * 1_024 + 500);
  expect(total({ variant: "yue-v1" })).toBeLessThan(24_064);
  expect(total({ variant: "yue-v1" }, { lyrics })).toBeGreaterThan(70_000);
});
