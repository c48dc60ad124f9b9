/** Sounds and music from Stable Audio: stable-audio-tools, or Stable Audio 3 as server or command. */
import { definePlugin, type Evidence, oneOf, type Variant } from "switchyard/sdk";
import { threeCommand } from "./command.ts";
import { costOf } from "./cost.ts";
import { audioInput, musicInput, type Request, takes } from "./input.ts";
import { lacking, THREE_MARKS, TOOLS_MARKS, three, tools } from "./servers.ts";
import { BASE_MODELS, MODELS, modelOf, type Settings, settings } from "./settings.ts";

const variants: readonly Variant<Settings, Request>[] = [
  { name: "stable-audio-tools", transport: tools, missing: unlike(TOOLS_MARKS) },
  { name: "stable-audio-3", transport: three, missing: unlike(THREE_MARKS) },
  { name: "command", transport: threeCommand },
];
const server = oneOf({ title: "Stable Audio", variants, chosen: ({ variant }) => variant });

export default definePlugin({
  apiVersion: 1,
  name: "stable-audio",
  version: "0.1.0",
  title: "Stable Audio",
  summary: "Sounds and music from stable-audio-tools or Stable Audio 3.",
  defaultUrl: "http://127.0.0.1:7873",
  notice:
    "The weights of Stable Audio are under the Stability AI Community License " +
    "(stability.ai/license); read it before commercial use.",
  config: settings,
  offers: ({ serves }) => serves,
  capabilities: {
    "audio.generate": {
      route: "POST /generate/audio",
      input: audioInput,
      example: { prompt: "a freight train over a set of points", duration_seconds: 8 },
      // The command is found again; of a page's work nothing is kept, and it starts over.
      restart: "resume",
      takes,
      check: refused,
      vram: costOf,
      options: server.options,
      run: server.run,
    },
    "music.generate": {
      route: "POST /generate/music",
      input: musicInput,
      example: { prompt: "slow blues with a harmonica, 80 bpm", duration_seconds: 30 },
      restart: "resume",
      takes,
      check: refused,
      vram: costOf,
      options: server.options,
      run: server.run,
    },
  },
  health: server.health,
  async models({ config }) {
    const names = config.variant === "command" ? [...MODELS, ...BASE_MODELS] : [modelOf(config)];
    return names.map((name) => ({ name }));
  },
});

function refused({ strength, init_audio }: Request): string | undefined {
  return strength !== undefined && init_audio === undefined
    ? "strength says how much of init_audio may change; send init_audio too, or leave it out"
    : undefined;
}

function unlike(marks: readonly string[]) {
  return ({ gradio }: Evidence): string | undefined => {
    const there = gradio?.endpoints["/generate"];
    return there === undefined
      ? "no Gradio endpoint /generate"
      : lacking(marks, (name) => there.includes(name));
  };
}
