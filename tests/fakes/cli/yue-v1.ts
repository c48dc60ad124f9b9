/**
 * Plays `inference/infer.py` of YuE v1 (multimodal-art-projection/YuE@9f1394b): reads lyrics with
 * its regular expression, never sings the last section, fails when there is only one, names files
 * by the genres, and writes a file of the same name below `vocoder/mix` before the final one. Words
 * in the genres steer it.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { readBehaviour } from "../../../core/sdk/testing/fake.ts";
import { mp3Bytes } from "../yue/sound.ts";
import { crash, onStage } from "./stage.ts";

const { args, note } = onStage();
const options = read();
for (const part of ["xcodec_mini_infer", "mm_tokenizer_v0.2_hf"]) {
  if (!existsSync(part)) crash(`OSError: Not found: "./${part}": No such file or directory`);
}
const genres = readFileSync(options.genre_txt, "utf8").trim();
const lyrics = readFileSync(options.lyrics_txt, "utf8");
const { steps, fail, oom, hang, nullOutput, slowStart } = readBehaviour(genres);
const sections = [...lyrics.matchAll(/\[(\w+)\](.*?)(?=\[|$(?![\s\S]))/gs)].map(
  ([, label = "", text = ""]) => ({ label, text: text.trim() }),
);
const count = Math.min(Number(options.run_n_segments) + 1, sections.length);
const sung = sections.slice(0, Math.max(0, count - 1));
const reference = options.audio_prompt_path;
note("run", { ...options, genres, lyrics, sung, heard: reference && existsSync(reference) });

console.error("Loading checkpoint shards: 100%|##########| 2/2 [00:01<00:00,  1.50it/s]");
if (slowStart) await delay(300);
mkdirSync(join(options.output_dir, "stage1"), { recursive: true });
bar("Stage1 inference...", 0, count);
if (hang) {
  setInterval(() => {}, 1_000);
  await new Promise(() => {});
}
for (let index = 1; index <= count; index++) {
  for (let step = 0; step < steps; step++) await delay(3);
  bar("Stage1 inference...", index, count);
}
process.stderr.write("\n");
if (sung.length === 0) crash("NameError: name 'raw_output' is not defined");
if (oom) crash("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB");
if (fail) crash("ValueError: invalid pairs of soa and eoa, Num of soa: 2, Num of eoa: 1");
const name = `${genres.replaceAll(" ", "-")}_tp0@93_T1@0_rp1@1_maxtk3000_0f_mixed.mp3`;
// It replaces dots in the whole path and fails where a folder of such a name would be.
if (/[^\x20-\x7e]|\//.test(genres) || genres.length > 200) {
  crash(`FileNotFoundError: [Errno 2] No such file or directory: 'stage1/${name}'`);
}
console.log("Stage 2 inference...");
for (const index of [0, 1, 2]) bar("", index, 2);
console.log("\nStage 2 DONE.\n");
const mix = join(options.output_dir, "vocoder", "mix");
mkdirSync(mix, { recursive: true });
writeFileSync(join(mix, name), mp3Bytes(1));
console.log(`Created mix: ${join(mix, name)}`);
await delay(10);
if (!nullOutput) writeFileSync(join(options.output_dir, name), mp3Bytes());
process.exit(0);

function read() {
  try {
    const text = { type: "string" } as const;
    const { values } = parseArgs({
      args,
      strict: true,
      options: {
        cuda_idx: { ...text, default: "0" },
        stage1_model: { ...text, default: "m-a-p/YuE-s1-7B-anneal-en-cot" },
        genre_txt: { ...text, default: "" },
        lyrics_txt: { ...text, default: "" },
        run_n_segments: { ...text, default: "2" },
        output_dir: { ...text, default: "./output" },
        max_new_tokens: { ...text, default: "3000" },
        seed: { ...text, default: "42" },
        use_audio_prompt: { type: "boolean" },
        audio_prompt_path: { ...text, default: "" },
      },
    });
    for (const option of ["run_n_segments", "max_new_tokens", "seed"] as const) {
      if (!/^-?\d+$/.test(values[option])) throw new Error(`--${option}: invalid int value`);
    }
    return values;
  } catch (error) {
    console.error(`infer.py: error: ${error instanceof Error ? error.message : error}`);
    process.exit(2);
  }
}

function bar(title: string, done: number, total: number): void {
  const percent = String(Math.round((100 * done) / Math.max(1, total))).padStart(3);
  const before = title === "" ? "" : `${title}: `;
  process.stderr.write(`\r${before}${percent}%|###| ${done}/${total} [00:01<00:02,  2.00s/it]`);
}
