/** REST servers as backends from settings alone: yue2.cpp as the documentation shows it, and one that answers at once. */
import { afterEach, describe, expect, test } from "bun:test";
import { createTestContext, createTestJob, testPlugin } from "switchyard/sdk/testing";
import restJob from "../../plugins/rest-job/plugin.ts";
import { serve, stopServers } from "../core/sdk/server.ts";
import { startFakeSound } from "../fakes/rest-job.ts";
import { startFakeYue } from "../fakes/yue.ts";

afterEach(stopServers);

/** As in plugins/rest-job/README.md. */
const song = {
  capability: "music.generate",
  server: "yue2.cpp",
  submit: {
    path: "/synth",
    body: {
      style: "{{style|prompt}}",
      lyrics: "{{lyrics}}",
      duration: "{{duration_seconds|120}}",
      lm_seed: "{{seed}}",
      seed: "{{seed}}",
      cot: "{{options.cot}}",
      output_format: "mp3",
    },
    id: "$.id",
  },
  status: {
    path: "/job?id={{id}}",
    field: "$.status",
    running: ["running"],
    done: ["done"],
    failed: ["failed"],
    cancelled: ["cancelled"],
    interval_ms: 10,
  },
  result: {
    path: "/job?id={{id}}&result=1",
    kind: "multipart",
    parts: "audio/",
    facts: { seed: "$.seed" },
  },
  cancel: { method: "POST", path: "/job?id={{id}}&cancel=1" },
  log: { path: "/logs" },
  health: { path: "/health", expect: { "$.status": ["ok"] } },
  cost: { model: "yue2", resident_mib: 4_500, working_mib: 3_000, size: "duration_seconds" },
  options: { cot: { type: "string", enum: ["full", "melody", "off"] } },
};

const sound = {
  capability: "audio.generate",
  server: "Sound server",
  submit: {
    path: "/v1/audio/generate",
    body: { input: "{{prompt}}", audio_length: "{{duration_seconds|10}}" },
    stops_on_close: true,
  },
  result: { kind: "bytes", name: "sound" },
  health: { path: "/health" },
};

/** With an address, so that the rules about servers apply; an operator always gives one. */
const withUrl = { ...restJob, defaultUrl: "http://127.0.0.1:9" };
const audio = restJob.capabilities["audio.generate"];

describe("work with an id", () => testPlugin(withUrl, { fake: startFakeYue, config: song }));
// What the answer to the submission is, nobody can ask for again.
describe("an answer that is the result", () =>
  testPlugin(
    { ...withUrl, capabilities: { "audio.generate": { ...audio, restart: "rerun" } } },
    { fake: startFakeSound, config: sound },
  ));

const capability = restJob.capabilities["music.generate"];

function settings(config: Record<string, unknown>) {
  return createTestContext(restJob, undefined, config).config;
}

test("a backend has the one capability of its settings, and takes the fields that they name", () => {
  expect(restJob.offers?.(settings(song))).toEqual(["music.generate"]);
  expect([...(capability.takes?.(settings(song)) ?? [])].sort()).toEqual(
    ["duration_seconds", "format", "lyrics", "options", "prompt", "seed", "style"].sort(),
  );
  expect(restJob.capabilities["audio.generate"].takes?.(settings(sound))).toEqual([
    "prompt",
    "duration_seconds",
    "format",
  ]);
});

test("the cost is the declared one, and none where none is declared", () => {
  const input = { prompt: "a song", duration_seconds: 60 };
  expect(capability.vram?.(input, settings(song))).toEqual({
    model: "yue2",
    residentMiB: 4_500,
    workingMiB: 3_000,
    size: 60,
  });
  const { cost: _cost, ...free } = song;
  expect(capability.vram?.(input, settings(free))).toMatchObject({ residentMiB: 0, workingMiB: 0 });
});

test("what a request may send as options is what the settings say", async () => {
  const ctx = createTestContext(restJob, undefined, song);
  const options = await capability.options?.(ctx, AbortSignal.timeout(1_000));
  expect(JSON.parse(JSON.stringify(options))).toEqual({
    cot: { anyOf: ["full", "melody", "off"].map((word) => ({ const: word, type: "string" })) },
  });
});

test("the song comes with its seed, and the server gets exactly what the template says", async () => {
  const fake = await startFakeYue();
  try {
    const ctx = createTestContext(restJob, fake.url, song);
    const input = {
      prompt: "slow blues",
      lyrics: '[verse]\n"{{seed}}" $(reboot)\n',
      seed: 7,
      options: { cot: "off" },
    };
    const job = createTestJob(input);
    expect(await capability.run(job, ctx)).toEqual({ seed: 7, files: ["/artifacts/artifact-1"] });
    expect(fake.requests).toEqual([
      {
        style: "slow blues",
        lyrics: '[verse]\n"{{seed}}" $(reboot)\n',
        duration: 120,
        lm_seed: 7,
        seed: 7,
        cot: "off",
        output_format: "mp3",
      },
    ]);
    expect(job.artifacts[0]).toMatchObject({ name: "output.mp3", mediaType: "audio/mpeg" });
  } finally {
    await fake.stop();
  }
});

test("every setting of a description reaches the adapter", async () => {
  let form = new FormData();
  const server = serve(async (request) => {
    const { pathname } = new URL(request.url);
    if (request.method === "DELETE") return Response.json({});
    if (pathname === "/health") return Response.json({ v: 3, state: "idle" });
    if (pathname === "/out/7.wav") return new Response("RIFF");
    if (pathname === "/status/7") return Response.json({ state: "finished", out: "/out/7.wav" });
    form = await request.formData();
    return Response.json({ task: { id: 7 } });
  });
  const ctx = createTestContext(restJob, server.baseUrl, {
    capability: "music.generate",
    submit: {
      path: "/generate",
      multipart: {
        lyrics: { file: "{{lyrics}}", name: "lyrics.lrc", media_type: "text/x-lrc" },
        ref_prompt: "{{style|prompt}}",
      },
      id: "$.task.id",
      timeout_ms: 5_000,
      meanings: { "503": "busy" },
    },
    status: { path: "/status/{{id}}", field: "$.state", running: ["busy"], done: ["finished"] },
    result: { kind: "json-url", field: "$.out", media_type: "audio/wav", name: "song" },
    remove: { method: "DELETE", path: "/tasks/{{id}}" },
    health: { path: "/health", version: "$.v", busy: { field: "$.state", words: ["busy"] } },
  });
  expect(await restJob.health(ctx, AbortSignal.timeout(5_000))).toEqual({
    status: "ready",
    version: "3",
    busy: false,
  });
  const job = createTestJob({ prompt: "folk", lyrics: "[00:01.00]la" });
  await capability.run(job, ctx);
  const lyrics = form.get("lyrics") as File;
  expect([lyrics.name, await lyrics.text(), form.get("ref_prompt")]).toEqual([
    "lyrics.lrc",
    "[00:01.00]la",
    "folk",
  ]);
  expect(job.artifacts[0]).toMatchObject({ name: "song.wav", mediaType: "audio/wav" });
  expect(server.seen.at(-1)).toMatchObject({ method: "DELETE" });
});

test("a mistake in the settings is named with its place", () => {
  const wrong = (part: Record<string, unknown>) => () => settings({ ...song, ...part });
  expect(wrong({ result: { kind: "zip" } })).toThrow("/result/kind");
  expect(wrong({ submit: { path: "synth" } })).toThrow("/submit/path");
  expect(wrong({ status: { path: "/x", field: "$", running: [], done: [], faild: [] } })).toThrow(
    "/status/faild",
  );
  expect(wrong({ capability: "music.steal" })).toThrow("/capability");
});
