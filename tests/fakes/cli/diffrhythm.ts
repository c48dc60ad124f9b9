/**
 * Plays `infer/infer.py` of DiffRhythm 1.2: silent until the end, always `output.wav`. Lyrics are
 * read as it reads them: by fixed columns, skipping what does not fit, and without the last line
 * for 95 seconds. Words of the style steer it.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { readBehaviour } from "../../../core/sdk/testing/fake.ts";
import { sungLines } from "../diffrhythm/lyrics.ts";
import { crash, onStage, silence } from "./stage.ts";

const { args, note } = onStage();
const [script = "", ...rest] = args;
if (script !== "infer/infer.py" || !existsSync(script)) crash(`No such file: ${script}`);
const options = read();
const seconds = Number(options["audio-length"]);
if (seconds !== 95 && !(seconds > 95 && seconds <= 285)) {
  crash(`ValueError: Invalid audio_length: ${seconds}.`);
}
const { "ref-prompt": style, "ref-audio-path": recording } = options;
if (!style && !recording) crash("AssertionError: either ref_prompt or ref_audio_path …");
if (style && recording) crash("AssertionError: only one of them should be provided");
if (recording && !/\.(wav|mp3|flac)$/.test(recording)) crash("ValueError: Unsupported file format");
const lrc = options["lrc-path"] === undefined ? "" : readFileSync(options["lrc-path"], "utf8");
note("run", { ...options, lrc, sung: sungLines(lrc, seconds), cwd: process.cwd() });

const { steps, fail, oom, hang, nullOutput, slowStart } = readBehaviour(style ?? "");
if (slowStart) await delay(400);
if (hang) {
  setInterval(() => {}, 1_000);
  await new Promise(() => {});
}
await delay(steps * 10);
if (oom) crash("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.");
if (fail) crash("RuntimeError: Please install espeak-ng");
console.log("inference cost 0.03 seconds");
if (!nullOutput) writeFileSync(join(options["output-dir"] ?? ".", "output.wav"), silence());
process.exit(0);

function read() {
  try {
    const text = { type: "string" } as const;
    const { values } = parseArgs({
      args: rest,
      strict: true,
      options: {
        "lrc-path": text,
        "ref-prompt": text,
        "ref-audio-path": text,
        "audio-length": { ...text, default: "95" },
        "output-dir": { ...text, default: "infer/example/output" },
        "batch-infer-num": { ...text, default: "1" },
        chunked: { type: "boolean" },
      },
    });
    return values;
  } catch (error) {
    console.error(`infer.py: error: ${error}`);
    process.exit(2);
  }
}
