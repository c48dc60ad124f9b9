/**
 * Plays `inference.py` of DiffRhythm 2: songs from a list in JSON lines, a bar for the list and one
 * for the blocks of a song, `<song_name>.mp3`. A style that names an existing file is taken for a
 * recording. Words of the style steer it.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { readBehaviour } from "../../../core/sdk/testing/fake.ts";
import { mp3Bytes } from "../yue/sound.ts";
import { crash, onStage } from "./stage.ts";

const { args, note } = onStage();
const [script = "", ...rest] = args;
if (script !== "inference.py" || !existsSync(script)) crash(`No such file: ${script}`);
const options = read();
const [line = ""] = readFileSync(options["input-jsonl"] ?? "", "utf8")
  .trim()
  .split("\n");
const { song_name, lyrics, style_prompt } = JSON.parse(line);
const isRecording = existsSync(style_prompt);
note("run", {
  ...options,
  song_name,
  style_prompt,
  isRecording,
  lyrics: readFileSync(lyrics, "utf8"),
});

const { steps, fail, oom, hang, nullOutput, slowStart } = readBehaviour(style_prompt);
bar("model.safetensors", 99, 100);
if (slowStart) await delay(400);
bar("", 0, 1);
if (hang) {
  bar("", 1, 8);
  setInterval(() => {}, 1_000);
  await new Promise(() => {});
}
for (let step = 1; step <= steps; step++) {
  bar("", step, steps);
  await delay(10);
}
if (oom) crash("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.");
if (fail) crash("RuntimeError: flex attention is not available");
bar("", 1, 1);
if (!nullOutput) writeFileSync(join(options["output-dir"] ?? ".", `${song_name}.mp3`), mp3Bytes());
process.exit(0);

function bar(title: string, done: number, total: number): void {
  const percent = Math.round((done / total) * 100);
  const head = title === "" ? "" : `${title}: `;
  process.stderr.write(
    `\r${head}${String(percent).padStart(3)}%|##| ${done}/${total} [00:01<00:01]`,
  );
}

function read() {
  try {
    const text = { type: "string" } as const;
    const { values } = parseArgs({
      args: rest,
      strict: true,
      options: {
        "repo-id": text,
        "output-dir": text,
        "input-jsonl": text,
        "cfg-strength": text,
        "max-secs": text,
        steps: text,
      },
    });
    return values;
  } catch (error) {
    console.error(`inference.py: error: ${error}`);
    process.exit(2);
  }
}
