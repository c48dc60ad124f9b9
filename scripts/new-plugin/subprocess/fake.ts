/**
 * A stand-in for the program of Template Server: run by itself it is the program, imported it says
 * how the plugin finds it. Words in the prompt steer it: `steps=N`, `fail`, `oom`, `hang`,
 * `null-output`, `slow-start`.
 */
import { appendFileSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Fake } from "switchyard/sdk/testing";

/** Where each run of the program notes what happened to it. */
const JOURNAL = join(mkdtempSync(join(tmpdir(), "template-server-")), "journal.txt");

/** The plugin's settings with this file as the program. */
export const settings = {
  command: [
    process.execPath,
    // Deno's words for running a file; Bun needs none.
    ...(process.versions.deno === undefined ? [] : ["run", "--allow-all"]),
    fileURLToPath(import.meta.url),
    `--journal=${JOURNAL}`,
  ],
};

export async function startFakeTemplateServer(): Promise<Fake> {
  writeFileSync(JOURNAL, "");
  const lines = (): string[] => readFileSync(JOURNAL, "utf8").split("\n");
  return {
    url: "http://127.0.0.1:9",
    get calls() {
      return lines().filter((line) => line === "RUN");
    },
    get stopped() {
      return lines().includes("STOPPED");
    },
    async stop() {},
  };
}

/** A WAV of one second of silence: 8,000 samples of one byte. */
function silence(): Buffer {
  const header = Buffer.alloc(44);
  header.write("RIFF");
  header.writeUInt32LE(36 + 8_000, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(8_000, 24);
  header.writeUInt32LE(8_000, 28);
  header.writeUInt16LE(1, 32);
  header.writeUInt16LE(8, 34);
  header.write("data", 36);
  header.writeUInt32LE(8_000, 40);
  return Buffer.concat([header, Buffer.alloc(8_000, 128)]);
}

async function main(): Promise<number> {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: { "prompt-file": text, seconds: text, seed: text, out: text, journal: text },
  });
  const note = (line: string) => appendFileSync(values.journal ?? "", `${line}\n`);
  note("RUN");
  process.on("SIGTERM", () => {
    note("STOPPED");
    process.exit(143);
  });
  const prompt = readFileSync(values["prompt-file"] ?? "", "utf8");
  const has = (word: string) => prompt.split(/\s+/).includes(word);
  const steps = Number(/\bsteps=(\d{1,4})\b/.exec(prompt)?.[1] ?? 3);
  if (has("slow-start")) await delay(200);
  for (let step = 1; step <= steps || has("hang"); step++) {
    console.log(`step ${Math.min(step, steps)}/${steps}`);
    await delay(10);
  }
  if (has("oom")) console.log("torch.OutOfMemoryError: CUDA out of memory.");
  if (has("fail")) console.log("ValueError: the sampler diverged");
  if (has("oom") || has("fail")) return 1;
  if (!has("null-output")) writeFileSync(values.out ?? "", silence());
  return 0;
}

if (import.meta.main) process.exit(await main());
