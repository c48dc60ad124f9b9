/**
 * A command-line program as they are: bars drawn with \r, a first bar about weights, a draft beside
 * the result, children of its own, and an exit code that proves nothing. Words of the prompt steer it.
 *
 * worker.ts --prompt-file FILE --out FOLDER [--calls FILE] [--format wav] [--seed N]
 */
import { spawn } from "node:child_process";
import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { readBehaviour } from "../../../core/sdk/testing/fake.ts";
import { allocate } from "../../../core/vram/probes/mod.ts";

const args = process.argv.slice(2);
const option = (name: string): string | undefined => {
  const [found] = args.flatMap((it, at) =>
    it === `--${name}`
      ? [args[at + 1]]
      : it.startsWith(`--${name}=`)
        ? [it.slice(name.length + 3)]
        : [],
  );
  return found;
};

const promptFile = option("prompt-file");
const prompt = promptFile ? readFileSync(promptFile, "utf8") : (option("prompt") ?? "");
const out = option("out") ?? ".";
const calls = option("calls");
const words = new Set(prompt.toLowerCase().split(/[\s,;.]+/));
const { steps, fail, oom, hang, nullOutput, slowStart } = readBehaviour(prompt);
const pauseMs = Number(/\bpause=(\d{1,5})\b/.exec(prompt)?.[1] ?? 10);

const note = (line: string): void => {
  if (calls) appendFileSync(calls, `${line}\n`);
};
const say = (text: string): void => void process.stderr.write(text);
const bar = (title: string, done: number, total: number): void => {
  const percent = String(Math.round((100 * done) / total)).padStart(3);
  const full = "█".repeat(Math.round((10 * done) / total)).padEnd(10);
  say(`\r${title}: ${percent}%|${full}| ${done}/${total} [00:01<00:02,  2.00it/s]`);
};

process.on("SIGTERM", () => {
  note("TERM");
  if (!words.has("stubborn")) process.exit(143);
});

note(`RUN ${process.pid}`);
note(`ARGS ${JSON.stringify(args)}`);
note(`ENV ${JSON.stringify(process.env)}`);
if (words.has("family") || words.has("leftover")) {
  const child = spawn("sleep", ["600"], { stdio: "ignore" });
  note(`CHILD ${child.pid}`);
  child.unref();
}
const device = process.env.SIMULATED_DEVICE;
const heldMiB = Number(/\bhold=(\d{1,5})\b/.exec(prompt)?.[1] ?? 0);
const memory = device && heldMiB > 0 ? allocate(device, heldMiB, "worker") : undefined;
for (const done of [0, 2, 4]) bar("Loading checkpoint shards", done, 4);
say("\n");
if (slowStart) await delay(400);
if (hang || words.has("stubborn")) {
  say("working…");
  setInterval(() => {}, 1_000);
  await new Promise(() => {});
}
for (let step = 1; step <= steps; step++) {
  bar("Generating", step, steps);
  await delay(pauseMs);
}
say("\n");
if (oom) {
  say('Traceback (most recent call last):\n  File "/opt/tool/run.py", line 3, in main\n');
  say("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n");
  process.exit(1);
}
if (fail) {
  say('Traceback (most recent call last):\n  File "/opt/tool/run.py", line 3, in main\n');
  say(
    `ValueError: no weights in /opt/secret-place/model.pt with hf_abcdefghijkl ${process.env.TOOL_TOKEN}\n`,
  );
  process.exit(3);
}
if (words.has("flood")) {
  const line = `${"x".repeat(1_000)}\n`;
  for (let at = 0; at < 10_000; at++) process.stdout.write(line);
}
const result = join(out, "take_one.wav");
const bytes = Buffer.alloc(words.has("empty") ? 0 : 4_044, 1);
if (bytes.length > 0) bytes.write("RIFF", 0);
mkdirSync(join(out, "parts"), { recursive: true });
writeFileSync(join(out, "parts", "vocals.wav"), "RIFF part");
writeFileSync(join(out, "take_one_draft.wav"), "RIFF draft");
if (!nullOutput) {
  writeFileSync(`${result}.new`, bytes);
  renameSync(`${result}.new`, result);
}
if (words.has("leftover")) process.exit(0);
memory?.free();
note("DONE");
process.exit(0);
