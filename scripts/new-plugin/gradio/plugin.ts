/** Sounds from Template Server: a program with a Gradio page, driven through the page's own API. */
import { definePlugin, gradioApp, inputs, t } from "switchyard/sdk";

const config = {
  vram_mib: t.Integer({ default: 4096, minimum: 0, description: "The model's size, in MiB." }),
};

interface Settings {
  readonly vram_mib: number;
}

// What the program has a use for; a request with another field goes elsewhere or is refused.
const input = t.Pick(inputs.audio, ["prompt", "duration_seconds", "seed", "format", "options"]);

const app = gradioApp<Settings, (typeof input)["static"]>({
  title: "Template Server",
  endpoint: "/generate",
  // By these parameters it is told from other programs with such an endpoint.
  needs: ["prompt", "seconds"],
  takes: ["seed"],
  // By the names in the server's own /info; undefined leaves the program's own default.
  arguments: ({ prompt, duration_seconds: seconds, seed }) => ({ prompt, seconds, seed }),
  // What no request may change. Everything else that the page has can stand in `options`.
  pinned: { file_name: "output.wav" },
  outputs: [{ at: 0 }],
  // Gradio cannot stop a function that runs; this program has a button for it.
  cancel: { kind: "interrupt", endpoint: "/interrupt" },
});

export default definePlugin({
  apiVersion: 1,
  name: "template-server",
  version: "0.1.0",
  title: "Template Server",
  summary: "Sounds from Template Server.",
  defaultUrl: "http://127.0.0.1:7860",
  config,
  capabilities: {
    "audio.generate": {
      route: "POST /generate/audio",
      input,
      example: { prompt: "a steam engine leaves the station", duration_seconds: 5 },
      // Gradio keeps no result for somebody who went away, so the work starts over.
      restart: "rerun",
      vram: ({ duration_seconds: size = 10 }, { vram_mib }) => ({
        model: "template-server",
        residentMiB: vram_mib,
        workingMiB: 512,
        size,
      }),
      options: app.options,
      run: app.run,
    },
  },
  health: app.health,
});
