/** Music and sounds from AudioCraft: the demo programs MusicGen and MAGNeT, and AudioGen. */
import { definePlugin, type Evidence, oneOf, type Variant } from "switchyard/sdk";
import { audiogen } from "./audiogen.ts";
import { audioInput, type MusicRequest, musicInput, takes } from "./input.ts";
import { costOf, entriesOf } from "./models.ts";
import { lacking, MAGNET_MARKS, MUSICGEN_MARKS, magnetFor, musicgen } from "./servers.ts";
import { offers, type Settings, settings, VARIANTS } from "./settings.ts";

type MusicVariant = Variant<Settings, MusicRequest>;

const isMusicgen: MusicVariant = {
  name: "musicgen",
  transport: musicgen,
  missing: unlike(MUSICGEN_MARKS),
};
const isMagnet = { name: "magnet", missing: unlike(MAGNET_MARKS) };
const isAudiogen = { name: "audiogen", transport: audiogen };
const chosen = ({ variant }: Settings): string => variant;

const music = oneOf({
  title: "AudioCraft's music",
  variants: [isMusicgen, { ...isMagnet, transport: magnetFor("music.generate") }],
  chosen,
});
const audio = oneOf({
  title: "AudioCraft's sounds",
  variants: [{ ...isMagnet, transport: magnetFor("audio.generate") }, isAudiogen],
  chosen,
});
const any = oneOf({
  title: "AudioCraft",
  variants: [isMusicgen, { ...isMagnet, transport: magnetFor("audio.generate") }, isAudiogen],
  chosen,
});

export default definePlugin({
  apiVersion: 1,
  name: "audiocraft",
  version: "0.1.0",
  title: "AudioCraft",
  summary: "Music from MusicGen and MAGNeT, sounds from MAGNeT and AudioGen.",
  // Its programs have no port of their own; 7873 is that of Stable Audio.
  defaultUrl: "http://127.0.0.1:7874",
  notice: "AudioCraft's weights are licensed CC BY-NC 4.0: no commercial use. Its code is MIT.",
  config: settings,
  offers,
  capabilities: {
    "music.generate": {
      route: "POST /generate/music",
      input: musicInput,
      example: { prompt: "bluegrass banjo, upbeat, 140 bpm" },
      takes,
      vram: costOf("music.generate"),
      options: music.options,
      run: music.run,
    },
    "audio.generate": {
      route: "POST /generate/audio",
      input: audioInput,
      example: { prompt: "rain on a tin roof, a distant train" },
      // AudioGen is found again; of a page's work nothing is kept, and it starts over.
      restart: "resume",
      takes,
      vram: costOf("audio.generate"),
      options: audio.options,
      run: audio.run,
    },
  },
  async health(ctx, signal) {
    const health = await any.health(ctx, signal);
    if (health.status !== "ready") return health;
    const { name } = await any.pick(ctx, signal);
    return name === "musicgen" ? { ...health, offers: ["music.generate"] } : health;
  },
  async models(ctx, signal) {
    const { name } = await any.pick(ctx, signal);
    return VARIANTS.filter((variant) => variant === name).flatMap(entriesOf);
  },
});

function unlike(marks: readonly string[]) {
  return ({ gradio }: Evidence): string | undefined => {
    const there = gradio?.endpoints["/predict_full"];
    return there === undefined
      ? "no Gradio endpoint /predict_full"
      : lacking(marks, (name) => there.includes(name));
  };
}
