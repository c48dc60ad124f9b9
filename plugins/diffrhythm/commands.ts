/** The two official programs, which have a command line and no server. */
import { join } from "node:path";
import { command, type Transport } from "switchyard/sdk";
import { toLrc } from "./lrc.ts";
import { type Input, secondsOf, styleOf } from "./request.ts";
import { toSections } from "./sections.ts";
import type { Settings } from "./settings.ts";

const files = ({ init_audio }: Input) => ({ reference: init_audio });
/** Modules of the repository are found from its root, and lyrics are not always ASCII. */
const env = { PYTHONPATH: ".", PYTHONUTF8: "1" };

/** `infer/infer.py` of DiffRhythm 1.2. */
export const first: Transport<Settings, Input> = command<Settings, Input>({
  title: "DiffRhythm",
  needs: ({ python, folder }) => ({
    program: python[0] ?? "",
    cwd: folder,
    files: ["infer/infer.py"],
  }),
  files,
  plan({ input }, config, folders) {
    const seconds = secondsOf(input, config);
    const { reference } = folders.files;
    const style =
      reference === undefined ? `--ref-prompt=${styleOf(input)}` : `--ref-audio-path=${reference}`;
    return {
      argv: [
        ...config.python,
        "infer/infer.py",
        `--lrc-path=${join(folders.in, "lyrics.lrc")}`,
        style,
        `--audio-length=${seconds}`,
        `--output-dir=${folders.out}`,
        // In one piece it needs twice the memory; of several songs it keeps a random one.
        "--chunked",
        "--batch-infer-num=1",
      ],
      cwd: config.folder,
      env,
      files: { "lyrics.lrc": toLrc(input.lyrics, seconds) },
      outputs: [{ glob: "output.wav", take: "one", name: "song", mediaType: "audio/wav" }],
      quiet: true,
    };
  },
});

/** `inference.py` of DiffRhythm 2. */
export const second: Transport<Settings, Input> = command<Settings, Input>({
  title: "DiffRhythm 2",
  needs: ({ python, folder }) => ({
    program: python[0] ?? "",
    cwd: folder,
    files: ["inference.py"],
  }),
  files,
  plan({ input }, config, folders) {
    const lyrics = join(folders.in, "lyrics.txt");
    // It takes a style that names an existing file for a recording. None begins with a space.
    const style_prompt = folders.files.reference ?? ` ${styleOf(input)}`;
    const song = { song_name: "song", lyrics, style_prompt };
    return {
      argv: [
        ...config.python,
        "inference.py",
        `--repo-id=${config.repo_id}`,
        `--output-dir=${folders.out}`,
        `--input-jsonl=${join(folders.in, "songs.jsonl")}`,
        `--max-secs=${secondsOf(input, config)}`,
        `--cfg-strength=${input.cfg ?? 2}`,
        `--steps=${input.steps ?? 16}`,
      ],
      cwd: config.folder,
      env,
      files: { "lyrics.txt": toSections(input.lyrics), "songs.jsonl": `${JSON.stringify(song)}\n` },
      outputs: [{ glob: "song.mp3", take: "one", mediaType: "audio/mpeg" }],
      // Bars of the work have no title; those of downloads and weights have.
      progress: [{ pattern: "tqdm", title: /^$/, stage: "generating" }],
    };
  },
});
