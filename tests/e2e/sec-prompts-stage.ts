/** Every built-in plugin in each of its forms, with its stand-in, and what arrived there. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Fake } from "switchyard/sdk/testing";
import { startFakeAllTalk } from "../fakes/alltalk.ts";
import { createFakeProgram, WORKER } from "../fakes/cli/program.ts";
import { createStage } from "../fakes/cli/stage.ts";
import { startFakeComfyUI } from "../fakes/comfyui.ts";
import { startFakeDiffRhythm } from "../fakes/diffrhythm.ts";
import { type FakeGradioOptions, type Signature, startFakeGradio } from "../fakes/gradio.ts";
import { startFakeMusicGPT } from "../fakes/musicgpt.ts";
import { startFakeOllama } from "../fakes/ollama.ts";
import { startFakeWan2gp } from "../fakes/wan2gp.ts";
import { startFakeYue } from "../fakes/yue.ts";
import webSignature from "../fixtures/gradio/diffrhythm-web.json";
import { musicgen, stable } from "../plugins/gradio-cases.ts";
import { createV1, createYue2 } from "../plugins/yue-cases.ts";

export interface Player {
  readonly plugin: string;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly url?: string;
  /** All that arrived so far, in whatever shape; undefined where nobody can look. */
  readonly arrived?: () => unknown;
  /**
   * What these fields become on purpose: lyrics are cut into lines, styles put on one. Then their
   * words must arrive, and nothing else is compared.
   */
  readonly rewritten?: readonly string[];
  stop(): Promise<void> | void;
}

export type Players = Readonly<Record<string, Player>>;

const SONG = ["prompt", "style", "lyrics"];

/** Servers by the names of their backends. */
export async function startPlayers(): Promise<Players> {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-players-"));
  const alltalk = await startFakeAllTalk();
  const wan2gp = await startFakeWan2gp();
  const yue = await startFakeYue();
  const musicgpt = await startFakeMusicGPT();
  const comfyui = await startFakeComfyUI();
  const ollama = await startFakeOllama();
  const served = <F extends Fake>(plugin: string, fake: F, arrived: (fake: F) => unknown) => ({
    plugin,
    url: fake.url,
    arrived: () => arrived(fake),
    stop: () => fake.stop(),
  });
  const gradio = async (plugin: string, config: object, options: FakeGradioOptions) => {
    const fake = await startFakeGradio(options);
    return { ...served(plugin, fake, ({ joined }) => joined), config: { ...config } };
  };
  const rhythm = async (kind: "api" | "webapi") => {
    const fake = await startFakeDiffRhythm({ kind });
    const player = served("diffrhythm", fake, ({ submissions }) => submissions);
    return { ...player, config: { variant: kind }, rewritten: SONG };
  };
  const write = (name: string, text = ""): string => {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  };
  const v1 = createV1();
  const yue2 = createYue2();
  const played = (
    plugin: string,
    stage: ReturnType<typeof createStage>,
    config: object,
    remove = stage.remove,
  ) => ({ plugin, config: { ...config }, arrived: () => stage.runs, stop: remove });
  const three = createStage("stable-audio.ts");
  const audiogen = createStage("audiogen.ts");
  const wgp = createStage("wgp.ts");
  const first = createStage("diffrhythm.ts");
  const second = createStage("diffrhythm2.ts");
  write("wgp.py");
  write("infer/infer.py");
  write("inference.py");
  for (const name of ["t2v_1.3B", "z_image", "ace_step_v1_5"]) write(`defaults/${name}.json`, "{}");
  const calls = write("calls.txt");
  const program = createFakeProgram();
  await program.install();

  return {
    alltalk: served("alltalk", alltalk, ({ forms }) => forms),
    wan: {
      ...served("wan2gp", wan2gp, ({ sources }) => sources),
      config: { image_model: "z_image", music_model: "ace_step_v1_5", poll_interval_ms: 10 },
    },
    "wan-cli": played("wan2gp", wgp, {
      ...{ variant: "cli", folder, python: wgp.command },
      ...{ image_model: "z_image", music_model: "ace_step_v1_5" },
    }),
    "stable-tools": await gradio("stable-audio", {}, { signature: "stable-audio-tools-0.0.19" }),
    "stable-three": await gradio("stable-audio", {}, { signature: "stable-audio-3" }),
    "stable-command": played("stable-audio", three, { variant: "command", command: three.command }),
    musicgen: await gradio(
      "audiocraft",
      { variant: "musicgen" },
      { signature: "audiocraft-musicgen", gradio: "4.44.1" },
    ),
    magnet: await gradio(
      "audiocraft",
      { variant: "magnet" },
      { signature: "audiocraft-magnet", gradio: "4.44.1" },
    ),
    audiogen: played("audiocraft", audiogen, { variant: "audiogen", python: audiogen.command }),
    yue: {
      ...served("yue", yue, ({ requests }) => requests),
      config: { variant: "yue2.cpp" },
      rewritten: ["prompt", "style"],
    },
    yuegp: {
      ...(await gradio("yue", { variant: "yuegp" }, { signature: "yuegp-v3", gradio: "4.44.1" })),
      rewritten: SONG,
    },
    "yue-v1": { ...played("yue", v1.stage, v1.config, v1.remove), rewritten: SONG },
    yue2: {
      ...played("yue", yue2.stage, yue2.config, yue2.remove),
      rewritten: ["prompt", "style"],
    },
    "rhythm-api": await rhythm("api"),
    "rhythm-webapi": await rhythm("webapi"),
    "rhythm-web": {
      ...(await gradio(
        "diffrhythm",
        { variant: "web" },
        { signature: webSignature as Signature, garble: finished },
      )),
      rewritten: SONG,
    },
    "rhythm-one": {
      ...played("diffrhythm", first, { variant: "command", folder, python: first.command }),
      rewritten: SONG,
    },
    "rhythm-two": {
      ...played("diffrhythm", second, { variant: "diffrhythm2", folder, python: second.command }),
      rewritten: SONG,
    },
    musicgpt: served("musicgpt", musicgpt, ({ prompts }) => prompts),
    comfyui: served("comfyui", comfyui, ({ prompts }) => prompts),
    ollama: served("ollama", ollama, ({ bodies }) => bodies),
    espeak: { plugin: "espeak", stop() {} },
    page: await gradio("gradio", PAGE, { signature: "stable-audio-tools-0.0.19" }),
    "music-page": await gradio("gradio", musicgen, {
      ...{ signature: "audiocraft-musicgen", gradio: "4.44.1" },
    }),
    rest: {
      ...served("rest-job", yue, ({ requests }) => requests),
      config: REST,
      // It is the other one's server.
      stop() {},
    },
    program: {
      plugin: "subprocess",
      config: program.config,
      // The file lies in the folder of a job that ended well.
      arrived: () =>
        program.noted("ARGS").flatMap((line) => {
          const file = /^--prompt-file=(.*)$/.exec(JSON.parse(line)[0])?.[1] ?? "";
          return existsSync(file) ? [readFileSync(file, "utf8")] : [];
        }),
      stop: program.remove,
    },
    arguments: {
      plugin: "subprocess",
      config: {
        capability: "music.generate",
        command: [
          ...[process.execPath, WORKER, "--prompt={{prompt}}", "--out={{out}}", "--calls", calls],
          ...[["--lyrics", "{{lyrics}}"], ["--style={{style}}"], ["--word={{options.word}}"]],
        ],
        options: { word: { type: "string" } },
        output: "*.wav",
        except: "*_draft.wav",
      },
      arrived: () =>
        readFileSync(calls, "utf8")
          .split("\n")
          .flatMap((line) => (line.startsWith("ARGS ") ? [JSON.parse(line.slice(5))] : [])),
      stop: () => rmSync(folder, { recursive: true, force: true }),
    },
  };
}

const PAGE = {
  ...stable,
  params: { ...stable.params, duration_seconds: { to: "seconds_total", default: 10 } },
};

/** What this page says when all is well, in the words of the real one. */
function finished(message: any): any {
  const { data } = message.output ?? {};
  if (data?.[0] === "done") data[0] = "Generation complete!";
  return message;
}

const REST = {
  capability: "music.generate",
  submit: {
    path: "/synth",
    body: { style: "{{style|prompt}}", lyrics: "{{lyrics}}", abc: "{{options.abc}} {{prompt}}" },
    id: "$.id",
  },
  status: {
    ...{ path: "/job?id={{id}}", field: "$.status", interval_ms: 10 },
    ...{ running: ["running"], done: ["done"], failed: ["failed"] },
  },
  result: { path: "/job?id={{id}}&result=1", kind: "multipart", parts: "audio/" },
  health: { path: "/health" },
  options: { abc: { type: "string" } },
};
