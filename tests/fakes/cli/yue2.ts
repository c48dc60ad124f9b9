/**
 * Plays `yue2 generate` (src/yue2/cli.py of multimodal-art-projection/YuE@10ae206): refuses unknown
 * fields and a folder that is not empty, shows its stages on stderr, writes `failure.json` when it
 * fails and `result.json` last. How its lines look where no terminal is was not seen. Words in the
 * style steer it.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { readBehaviour } from "../../../core/sdk/testing/fake.ts";
import { flacBytes } from "../yue/sound.ts";
import { crash, onStage } from "./stage.ts";

const FIELDS = ["style", "tags", "lyrics", "cot", "seed", "abc", "cfg_scale", "id"];
const { args, note } = onStage();
const options = read();
const request: Record<string, any> = JSON.parse(readFileSync(options.request, "utf8"));
note("run", { ...options, asked: request });
const unknown = Object.keys(request).filter((name) => !FIELDS.includes(name));
if (unknown.length > 0) crash(`ValueError: Unknown request fields: ['${unknown.join("', '")}']`);
const behaviour = readBehaviour(request.style ?? "");
const folder = join(options.output, request.id ?? "song");
if (existsSync(folder) && readdirSync(folder).length > 0) {
  crash(`FileExistsError: Nonempty output ${folder}; use --resume or a new output directory`);
}
mkdirSync(folder, { recursive: true });
for (const stage of ["Resolving model files", "Verifying model files", "Loading model"]) say(stage);
if (behaviour.slowStart) await delay(300);
say("Planning score: 12 tokens");
say("Completed Planning score: 812 tokens");
if (behaviour.hang) {
  say("Generating song: 1 tokens");
  setInterval(() => {}, 1_000);
  await new Promise(() => {});
}
for (let step = 1; step <= behaviour.steps; step++) {
  say(`Generating song: ${step * 100} tokens`);
  await delay(5);
}
if (behaviour.oom) fail("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB.");
if (behaviour.fail) fail("RuntimeError", "the weights at /opt/models/YuE2-3B do not fit");
for (const step of [8, 16, 24, 32]) say(`Synthesizing audio: ${step}/32 steps`);
say("Completed Synthesizing audio: 32/32 steps");
for (const chunk of [1, 2]) say(`Decoding audio: ${chunk}/2 chunks`);
if (!behaviour.nullOutput) {
  writeFileSync(join(folder, "score.abc"), request.abc ?? "X:1\nK:C\nCDEF|\n");
  writeFileSync(join(folder, "audio.flac"), flacBytes());
  const truncated = { abc: false, semantic: false };
  const result = { status: "complete", truncated, sample_rate: 48_000, audio_seconds: 65.5 };
  writeFileSync(join(folder, "result.json"), JSON.stringify(result));
  console.log(JSON.stringify({ status: "complete", output: folder, truncated, seconds: 1.5 }));
}
process.exit(0);

function say(line: string): void {
  process.stderr.write(`\r${line}`);
}

function fail(type: string, reason: string): never {
  const status = "failed";
  const failure = { status, type, reason, request };
  writeFileSync(join(folder, "failure.json"), JSON.stringify(failure));
  crash(`${type}: ${reason}`);
}

function read() {
  try {
    if (args[0] !== "generate") throw new Error("the following arguments are required: command");
    const { values } = parseArgs({
      args: args.slice(1),
      strict: true,
      options: {
        request: { type: "string", default: "" },
        output: { type: "string", default: "runs/default" },
        budget: { type: "string", default: "24" },
      },
    });
    if (!(Number(values.budget) > 0)) throw new Error("argument --budget: invalid float value");
    return values;
  } catch (error) {
    console.error(`yue2: error: ${error instanceof Error ? error.message : error}`);
    process.exit(2);
  }
}
