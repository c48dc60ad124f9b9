/** What the tests of the YuE plugin share: each variant with its stand-in. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import yue from "../../plugins/yue/plugin.ts";
import { createStage } from "../fakes/cli/stage.ts";
import { type FakeGradioOptions, startFakeGradio } from "../fakes/gradio.ts";

/** Commands have no address at which something else could answer. */
export const withoutServer = { ...yue, defaultUrl: undefined };

const song = yue.capabilities["music.generate"];
/** A Gradio server forgets the work with the connection, so it starts over. */
export const startingOver = {
  ...yue,
  capabilities: { "music.generate": { ...song, restart: "rerun" as const } },
};

export const startFakeYueGp = (options: FakeGradioOptions = {}) =>
  startFakeGradio({ signature: "yuegp-v3", gradio: "4.44.1", ...options });

/** A repository of YuE v1, with the parts that the program looks for. */
export function createV1() {
  const stage = createStage("yue-v1.ts");
  const folder = mkdtempSync(join(tmpdir(), "switchyard-yue-"));
  for (const part of ["xcodec_mini_infer", "mm_tokenizer_v0.2_hf"]) mkdirSync(join(folder, part));
  writeFileSync(join(folder, "infer.py"), "");
  const remove = (): void => {
    stage.remove();
    rmSync(folder, { recursive: true, force: true });
  };
  return { stage, remove, config: { variant: "yue-v1", command: [...stage.command], folder } };
}

export function createYue2() {
  const stage = createStage("yue2.ts");
  const config = { variant: "yue2", command: [...stage.command] };
  return { stage, remove: () => stage.remove(), config };
}
