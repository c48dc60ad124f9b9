/** The DiffRhythm plugin and the two official programs: conformance, arguments, lyrics, progress. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createTestContext, createTestJob, testPlugin } from "switchyard/sdk/testing";
import plugin from "../../plugins/diffrhythm/plugin.ts";
import { createStage } from "../fakes/cli/stage.ts";
import { wavBytes } from "../fakes/yue/sound.ts";

// A command has no address at which something else could answer.
const commands = { ...plugin, defaultUrl: undefined };
const capability = plugin.capabilities["music.generate"];
const folder = mkdtempSync(join(tmpdir(), "switchyard-diffrhythm-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function onStage(variant: "command" | "diffrhythm2", player: string, script: string) {
  const stage = createStage(player);
  afterAll(() => stage.remove());
  mkdirSync(dirname(join(folder, script)), { recursive: true });
  writeFileSync(join(folder, script), "");
  const config = { variant, folder, python: [...stage.command] };
  return { stage, config };
}

const first = onStage("command", "diffrhythm.ts", "infer/infer.py");
const second = onStage("diffrhythm2", "diffrhythm2.ts", "inference.py");
const ID = "7a1de9d2-b45d-4bd6-8a39-6f8a3f5cbb10";

for (const { stage, config } of [first, second]) {
  testPlugin(commands, {
    fake: stage.start,
    config,
    submits: { "music.generate": "RUN" },
  });
}

async function run(
  { stage, config }: typeof first,
  input: Record<string, unknown>,
  type = "audio/mpeg",
) {
  await stage.start();
  const ctx = createTestContext(plugin, undefined, config);
  const files = { [ID]: new File([wavBytes()], "../../evil.wav", { type }) };
  const job = createTestJob({ prompt: "folk, guitar", ...input }, { files });
  const output = await capability.run(job, ctx);
  return { job, output, ran: stage.runs[0] };
}

describe("DiffRhythm 1.2", () => {
  test("sings every line of plain lyrics, also the last one, which it drops for 95 seconds", async () => {
    const lyrics = "[verse]\nThe last train\nleaves the yard\n\n[chorus]\nAll signals green";
    const { ran } = await run(first, { lyrics, duration_seconds: 95 });
    expect(ran.sung.map(([, text]: [number, string]) => text)).toEqual([
      "The last train",
      "leaves the yard",
      "All signals green",
    ]);
  });

  test("gets the length, pieces, one song, and the style as one argument", async () => {
    const prompt = '--chunked=no $(touch x) `id` "quoted" \n ../..';
    const { ran, job } = await run(first, { prompt, duration_seconds: 200 });
    expect(ran).toMatchObject({
      "ref-prompt": prompt.replace(/\s*\n\s*/, " \u0020 ").replace(/ {3}/, "   "),
      "audio-length": "200",
      "batch-infer-num": "1",
      chunked: true,
      lrc: "",
    });
    expect(ran["lrc-path"].startsWith(folder)).toBe(false);
    expect(job.artifacts.map(({ name, mediaType }) => [name, mediaType])).toEqual([
      ["song.wav", "audio/wav"],
    ]);
  });

  test("gets a recording with the ending of its type in place of words", async () => {
    const { ran } = await run(first, { init_audio: { artifact_id: ID } });
    expect(ran["ref-audio-path"]).toEndWith("/in/reference.mp3");
    expect(ran).not.toHaveProperty("ref-prompt");
  });

  test("prints nothing while it works, and still shows that it is alive", async () => {
    const { job } = await run(first, { prompt: "folk steps=300" });
    expect(job.progressed.length).toBeGreaterThan(0);
    expect(job.progressed.every(({ fraction }) => fraction === undefined)).toBe(true);
  });

  test("is down while its folder is not there, and says which", async () => {
    const config = { ...first.config, folder: join(folder, "nowhere") };
    const ctx = createTestContext(plugin, undefined, config);
    const health = await plugin.health(ctx, AbortSignal.timeout(5_000));
    expect(health).toMatchObject({ status: "down" });
    expect(JSON.stringify(health)).toContain("nowhere");
  });
});

describe("DiffRhythm 2", () => {
  test("gets sections in its own spelling, and no line that is neither sung nor a tag", async () => {
    const lyrics =
      "[Intro]\n[Verse 1: soft]\n[00:10.00]The last train\n\n[Pre-Chorus]\nleaves\n[CHORUS]\nGreen\n[Mood: sad]\n[Outro]";
    const { ran } = await run(second, { lyrics, duration_seconds: 120, cfg: 3, steps: 20 });
    expect(ran.lyrics.split("\n")).toEqual([
      ...["[start]", "[intro]", "[verse]", "The last train"],
      ...["[verse]", "leaves", "[chorus]", "Green", "[outro]", "[end]"],
    ]);
    expect(ran).toMatchObject({ "max-secs": "120", "cfg-strength": "3", steps: "20" });
  });

  test("without lyrics plays an instrumental, and without labels sings a verse", async () => {
    const played = await run(second, {});
    expect(played.ran.lyrics).toBe("[start]\n[intro]\n[inst]\n[end]");
    const sung = await run(second, { lyrics: "All signals green" });
    expect(sung.ran.lyrics).toBe("[start]\n[verse]\nAll signals green\n[end]");
  });

  test("no style of a request can name a file of the machine", async () => {
    for (const prompt of [import.meta.path, "inference.py", "./inference.py", ".", "/etc/hosts"]) {
      const { ran } = await run(second, { prompt });
      expect([prompt, ran.isRecording]).toEqual([prompt, false]);
    }
    const { ran } = await run(second, { init_audio: { artifact_id: ID } });
    expect(ran.isRecording).toBe(true);
    expect(ran.style_prompt).toEndWith("/in/reference.mp3");
  });

  test("progress comes from the bars without a title, not from those of downloads", async () => {
    const { job } = await run(second, { prompt: "folk steps=80" });
    const fractions = job.progressed.flatMap(({ fraction }) => fraction ?? []);
    expect(fractions[0]).toBeLessThan(0.5);
    expect(fractions.at(-1)).toBe(1);
    expect(fractions.length).toBeGreaterThan(2);
    expect(job.artifacts[0]?.mediaType).toBe("audio/mpeg");
  });
});
