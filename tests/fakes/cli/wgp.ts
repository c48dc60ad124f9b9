/**
 * Plays `wgp.py --process` of WanGP (deepbeepmeep/Wan2GP@8681e9f): reads a settings file, rewrites
 * one line of progress in place, and ends with code 0 although a task was skipped. Words in the
 * prompt steer it, and its own `skip` (the settings are not valid) and `interrupt` (Ctrl-C).
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { readBehaviour } from "../../../core/sdk/testing/fake.ts";
import { BYTES, ENDINGS, MODELS } from "../wan2gp/models.ts";
import { onStage } from "./stage.ts";

const { args, note } = onStage();
const { values, positionals } = parseArgs({
  args,
  allowPositionals: true,
  strict: false,
  options: { process: { type: "string" }, "output-dir": { type: "string" } },
});
const file = String(values.process);
const outputs = String(values["output-dir"]);
const task = JSON.parse(readFileSync(file, "utf8"));
note("run", { task, args, script: positionals[0], folder: process.cwd() });

const prompt = String(task.prompt);
const words = prompt.split(/\s+/);
const { steps, fail, oom, hang, nullOutput, slowStart } = readBehaviour(prompt);
const model = MODELS[task.model_type];
console.log(`WanGP CLI Mode - Processing settings: ${file}`);
console.log("Loaded 1 task(s)");
console.log(`\n[Task 1/1] ${prompt.slice(0, 60)}...`);
if (words.includes("skip") || model === undefined) {
  console.log("  [SKIP] Task 1 failed validation: You must choose a valid resolution.");
  end(0, 1);
} else {
  console.log("Loading model ...");
  if (slowStart) await delay(300);
  status("[0/1] Prompt 1/1 - Encoding Prompt");
  if (hang) {
    setInterval(() => {}, 1_000);
    await new Promise(() => {});
  }
  for (let step = 1; step <= steps; step++) {
    await delay(5);
    status(`[${step}/${steps}] Prompt 1/1 - Denoising | ${step}.0s`);
  }
  status("[0/1] Prompt 1/1 - VAE Decoding");
  if (words.includes("interrupt")) {
    console.log("\n\nAborted by user");
    process.exit(130);
  }
  if (fail) failed("Error in '/opt/wan/models/x.py': it exploded");
  if (oom) failed("it is likely that you have unsufficient VRAM and you should reduce it");
  if (!nullOutput) {
    mkdirSync(outputs, { recursive: true });
    const name = `2026-11-24-12h00m00s_seed7_made.${ENDINGS[model.makes]}`;
    writeFileSync(join(outputs, name), BYTES[model.makes]);
  }
  console.log("\n  Task 1 completed");
  end(1, 0);
}

function status(line: string): void {
  process.stdout.write(`\r  ${line}`.padEnd(60));
}

function failed(message: string): never {
  console.log(`\n  [ERROR] ${message}`);
  end(0, 0);
}

/** A task that was skipped is not missing from the sum. */
function end(completed: number, skipped: number): never {
  console.log(`\n${"=".repeat(50)}`);
  const more = skipped > 0 ? ` (${skipped} skipped)` : "";
  console.log(`Queue completed: ${completed}/1 tasks in 1s${more}`);
  process.exit(completed === 1 - skipped ? 0 : 1);
}
