/** The command of YuE v1, `infer.py`. */
import { join } from "node:path";
import { command } from "switchyard/sdk";
import { genresForFileName, genresOf, lyricsFrom, needed } from "./lyrics.ts";
import { ownSeed, type Request, tokensFor } from "./request.ts";
import { maxSections, type Settings } from "./settings.ts";

const MODEL = "m-a-p/YuE-s1-7B-anneal-en-cot";
/** The one that listens to a song first. */
const REFERENCE_MODEL = "m-a-p/YuE-s1-7B-anneal-en-icl";
/** It finds its parts by relative paths. */
const PARTS = ["infer.py", "xcodec_mini_infer", "mm_tokenizer_v0.2_hf"];

const programOf = ({ command: own = ["python", "-u", "infer.py"] }: Settings) => own;

export const v1 = command<Settings, Request>({
  title: "YuE v1",
  needs: ({ folder = "inference", ...config }) => ({
    program: programOf({ ...config, folder })[0] ?? "",
    cwd: folder,
    files: PARTS,
  }),
  files: ({ init_audio }) => ({ reference: init_audio }),
  plan({ id, input }, config, folders) {
    const sections = needed(input.lyrics, maxSections(config));
    const { reference } = folders.files;
    // It never sings the last section, and ends with an error when there is only one.
    const lyrics = lyricsFrom([...sections, { label: "end", text: "" }]);
    return {
      argv: [
        ...programOf(config),
        ...["--cuda_idx", "0", "--stage1_model", reference ? REFERENCE_MODEL : MODEL],
        ...["--genre_txt", join(folders.in, "genre.txt")],
        ...["--lyrics_txt", join(folders.in, "lyrics.txt")],
        ...["--run_n_segments", String(sections.length), "--output_dir", folders.out],
        ...["--max_new_tokens", String(tokensFor(input, sections.length))],
        ...["--seed", String(ownSeed(input, id))],
        ...(reference ? ["--use_audio_prompt", "--audio_prompt_path", reference] : []),
      ],
      cwd: config.folder ?? "inference",
      files: { "genre.txt": genresForFileName(genresOf(input)), "lyrics.txt": lyrics },
      // Below `vocoder/mix` lies one of the same name that is not finished.
      outputs: [{ glob: "*_mixed.mp3", name: "song" }],
      progress: [
        { stage: "stage 1", pattern: "tqdm", title: /Stage1 inference/, weight: 70 },
        { stage: "stage 2", pattern: "tqdm", after: /Stage 2 inference/, weight: 25 },
        { stage: "mixing", pattern: /Created mix/, weight: 5 },
      ],
    };
  },
  facts: ({ job }) => ({ seed: ownSeed(job.input, job.id) }),
});
