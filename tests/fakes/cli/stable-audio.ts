/**
 * Plays the command of Stable Audio 3 (stable_audio_3/cli.py@636f906): takes the same options and no
 * others, draws a bar with \r while it generates, and says "Saved: PATH". Words of the prompt
 * steer it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { readBehaviour } from "../../../core/sdk/testing/fake.ts";
import { crash, onStage, silence } from "./stage.ts";

const MODELS = ["medium", "small-music", "small-sfx"].flatMap((name) => [name, `${name}-base`]);

const { args, note } = onStage();
const options = read();
note("run", options);
const { steps, fail, oom, hang, nullOutput, slowStart } = readBehaviour(options.prompt ?? "");

console.log(`Loading model '${options.model}'…`);
for (const done of [1, 2, 3]) bar("Loading weights", done, 3);
if (slowStart) await delay(400);
if (options["init-audio"] !== undefined) {
  const start = readFileSync(options["init-audio"]).subarray(0, 4).toString("latin1");
  if (start !== "RIFF") crash("RuntimeError: Couldn't find appropriate backend to handle uri");
}
console.log("Generating…");
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
if (fail) crash("RuntimeError: flash_attn is not installed");
if (!nullOutput) writeFileSync(options.output ?? "output.wav", silence());
console.log(`Saved: ${options.output}`);
process.exit(0);

function read() {
  try {
    const text = { type: "string" } as const;
    const { values } = parseArgs({
      args,
      strict: true,
      options: {
        model: { ...text, default: "medium" },
        prompt: { ...text, short: "p" },
        "negative-prompt": text,
        duration: { ...text, default: "120" },
        steps: { ...text, default: "8" },
        "cfg-scale": { ...text, default: "1" },
        seed: { ...text, default: "-1" },
        output: { ...text, short: "o", default: "output.wav" },
        "init-audio": text,
        "init-noise-level": { ...text, default: "0.9" },
        "chunked-decode": { type: "boolean" },
      },
    });
    if (values.prompt === undefined) throw new Error("the following arguments are required: -p");
    if (!MODELS.includes(values.model)) throw new Error(`argument --model: invalid choice`);
    for (const name of ["steps", "seed"] as const) {
      if (!/^-?\d+$/.test(values[name])) throw new Error(`argument --${name}: invalid int value`);
    }
    return values;
  } catch (error) {
    console.error(`stable-audio: error: ${error instanceof Error ? error.message : error}`);
    process.exit(2);
  }
}

function bar(title: string, done: number, total: number): void {
  const percent = String(Math.round((100 * done) / total)).padStart(3);
  const before = title === "" ? "" : `${title}: `;
  const end = done === total ? "\n" : "";
  process.stderr.write(
    `\r${before}${percent}%|###| ${done}/${total} [00:01<00:02,  2.00it/s]${end}`,
  );
}
