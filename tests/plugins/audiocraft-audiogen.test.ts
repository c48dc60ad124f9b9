/** AudioGen by our Python program: the conformance suite, its request, and the program itself. */
import { afterAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTestContext, createTestJob, testPlugin } from "switchyard/sdk/testing";
import plugin from "../../plugins/audiocraft/plugin.ts";
import { createStage } from "../fakes/cli/stage.ts";

const stage = createStage("audiogen.ts");
afterAll(() => stage.remove());
const config = { variant: "audiogen", python: [...stage.command] };
// A command has no address at which something else could answer.
const command = { ...plugin, defaultUrl: undefined };

testPlugin(command, { fake: stage.start, config, submits: { "audio.generate": "RUN" } });

test("A request goes to the program as a file, and comes back with its seed and model", async () => {
  await stage.start();
  const ctx = createTestContext(command, undefined, config);
  const prompt = '$(touch x) `id` "quoted"\n../..';
  const input: any = { prompt, duration_seconds: 3, cfg: 4, options: { top_k: 10 } };
  const job = createTestJob(input);
  const output: any = await plugin.capabilities["audio.generate"].run(job, ctx);
  const [ran] = stage.runs;
  expect(ran).toEqual({
    prompt,
    model: "facebook/audiogen-medium",
    seed: output.seed,
    duration_seconds: 3,
    cfg: 4,
    top_k: 10,
  });
  expect(output).toMatchObject({ files: [job.artifacts[0]!.url], duration_seconds: 3 });
});

test.each(["/tmp/evil", "https://evil.example/weights.th", "facebook/other"])(
  "A model of a request is one that it knows: %s is none, since it would be loaded as code",
  async (model) => {
    await stage.start();
    const ctx = createTestContext(command, undefined, config);
    const run = plugin.capabilities["audio.generate"].run(
      createTestJob({ prompt: "rain", model }) as never,
      ctx,
    );
    expect(await Promise.resolve(run).catch((error) => error.code)).toBe("BACKEND_REJECTED");
    expect(stage.runs).toEqual([]);
  },
);

test("Its options are those of the model's own parameters", async () => {
  const ctx = createTestContext(command, undefined, config);
  const { options } = plugin.capabilities["audio.generate"];
  expect(Object.keys(await options!(ctx, AbortSignal.timeout(1_000)))).toEqual([
    ...["top_k", "top_p", "temperature"],
  ]);
});

test("It offers sounds alone, and needs no room on the device once it has ended", () => {
  const ctx = createTestContext(plugin, undefined, config);
  expect(plugin.offers!(ctx.config)).toEqual(["audio.generate"]);
  const cost = plugin.capabilities["audio.generate"].vram!({ prompt: "x" }, ctx.config);
  expect(cost).toMatchObject({ model: "facebook/audiogen-medium", residentMiB: 0 });
});

/** Packages of the names that the program imports, which note what they are asked for. */
const PACKAGES = {
  "torch.py": "def manual_seed(seed):\n    print('seed', seed)\n",
  "audiocraft/__init__.py": "",
  "audiocraft/data/__init__.py": "",
  "audiocraft/data/audio.py": [
    "def audio_write(stem, wav, rate, strategy, loudness_compressor):",
    "    print('write', wav, rate, strategy, loudness_compressor)",
    "    open(stem + '.wav', 'wb').write(b'RIFF')",
    "",
  ].join("\n"),
  "audiocraft/models.py": [
    "class Sound:",
    "    def cpu(self):",
    "        return 'sound'",
    "class AudioGen:",
    "    frame_rate, sample_rate = 50, 16000",
    "    @staticmethod",
    "    def get_pretrained(name):",
    "        print('model', name)",
    "        return AudioGen()",
    "    def set_generation_params(self, **given):",
    "        print('params', sorted(given.items()))",
    "    def set_custom_progress_callback(self, call):",
    "        self.call = call",
    "    def generate(self, texts, progress):",
    "        print('texts', texts, progress)",
    "        for done in (50, 100, 103):",
    "            self.call(done, 50)",
    "        return [Sound()]",
    "",
  ].join("\n"),
};

const hasPython = spawnSync("python3", ["--version"]).status === 0;
const name = "The program asks AudioGen for what the request says, and tells how far it is";

test.skipIf(!hasPython)(hasPython ? name : `${name} (needs python3)`, async () => {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-audiogen-"));
  try {
    for (const [file, text] of Object.entries(PACKAGES)) {
      await Bun.write(join(folder, "packages", file), text);
    }
    const request = {
      prompt: "dog's bark\n",
      model: "facebook/audiogen-medium",
      seed: 7,
      duration_seconds: 2,
      cfg: 4,
    };
    writeFileSync(join(folder, "request.json"), JSON.stringify(request));
    const script = join(import.meta.dir, "../../plugins/audiocraft/audiogen.py");
    const ran = spawnSync("python3", [script, join(folder, "request.json"), folder], {
      encoding: "utf8",
      env: {
        ...process.env,
        PYTHONPATH: join(folder, "packages"),
        PYTHONDONTWRITEBYTECODE: "1",
      },
    });
    expect(ran.stderr).toBe("");
    expect(ran.stdout.trim().split("\n")).toEqual([
      "loading facebook/audiogen-medium",
      "model facebook/audiogen-medium",
      "params [('cfg_coef', 4), ('duration', 2)]",
      "seed 7",
      `texts ["dog's bark\\n"] True`,
      "step 50 of 100",
      "step 100 of 100",
      "step 100 of 100",
      "saving",
      "write sound 16000 loudness True",
    ]);
    expect(readFileSync(join(folder, "audio.wav"), "latin1")).toBe("RIFF");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
