/** Songs with lyrics from YuE: yue2.cpp, YuEGP, or the commands of YuE2 and YuE v1. */
import { definePlugin, oneOf, type Variant } from "switchyard/sdk";
import { costOf } from "./cost.ts";
import { cpp, lacksProps } from "./cpp.ts";
import { gp, lacksSong } from "./gp.ts";
import { check, type Request, songInput, takes } from "./request.ts";
import { type Settings, settings } from "./settings.ts";
import { v1 } from "./v1.ts";
import { yue2 } from "./yue2.ts";

const variants: readonly Variant<Settings, Request>[] = [
  { name: "yuegp", transport: gp, missing: lacksSong },
  { name: "yue2.cpp", transport: cpp, missing: lacksProps, pages: ["/props"] },
  { name: "yue2", transport: yue2 },
  { name: "yue-v1", transport: v1 },
];
const yue = oneOf({ title: "YuE", variants, chosen: ({ variant }) => variant });

export default definePlugin({
  apiVersion: 1,
  name: "yue",
  version: "0.1.0",
  title: "YuE",
  summary: "Songs with lyrics from YuE: yue2.cpp, YuEGP, YuE2 or YuE v1.",
  defaultUrl: "http://127.0.0.1:7870",
  notice:
    "The weights of YuE2 (yue2.cpp, YuE2) are under CC BY-NC 4.0 with an additional permission for " +
    "creators; companies need a licence of their authors. Those of YuE v1 (YuEGP) are under Apache 2.0.",
  config: settings,
  capabilities: {
    "music.generate": {
      route: "POST /generate/music",
      input: songInput,
      example: {
        prompt: "slow blues, male vocal, piano, brushes",
        lyrics:
          "[verse]\nLate train, empty yard\nOne lamp for the guard\n\n[chorus]\nCarry me home\n",
        seed: 7,
      },
      restart: "resume",
      // yue2 makes FLAC alone; the gateway looks at what comes, and converts where it must.
      formats: ["mp3"],
      takes,
      check,
      vram: costOf,
      options: yue.options,
      run: yue.run,
    },
  },
  health: yue.health,
});
