/** Sounds from Template Server: a command-line program that is run once for each job. */
import { command, definePlugin, inputs, t } from "switchyard/sdk";

const config = {
  command: t.Array(t.String(), {
    default: ["template-server"],
    minItems: 1,
    description: "The program, and arguments that every run has.",
  }),
  vram_mib: t.Integer({ default: 4096, minimum: 0, description: "Held while it runs, in MiB." }),
};

interface Settings {
  readonly command: readonly string[];
  readonly vram_mib: number;
}

// What the program has a use for; a request with another field goes elsewhere or is refused.
const input = t.Pick(inputs.audio, ["prompt", "duration_seconds", "seed", "format"]);

const program = command<Settings, (typeof input)["static"]>({
  title: "Template Server",
  needs: ({ command: [name = ""] }) => ({ program: name }),
  plan: ({ input: { prompt, duration_seconds = 10, seed = 0 } }, settings, folders) => ({
    // A list of arguments, never a shell line. The prompt goes into a file: so it can be no option.
    argv: [
      ...settings.command,
      `--prompt-file=${folders.in}/prompt.txt`,
      `--seconds=${duration_seconds}`,
      `--seed=${seed}`,
      `--out=${folders.out}/sound.wav`,
    ],
    files: { "prompt.txt": prompt },
    // Exit code 0 alone proves nothing: the file must be there, and not be empty.
    outputs: [{ glob: "*.wav", take: "one" }],
    progress: [{ stage: "sampling", pattern: /^step (?<done>\d+)\/(?<total>\d+)/ }],
  }),
});

export default definePlugin({
  apiVersion: 1,
  name: "template-server",
  version: "0.1.0",
  title: "Template Server",
  summary: "Sounds from Template Server.",
  config,
  capabilities: {
    "audio.generate": {
      route: "POST /generate/audio",
      input,
      example: { prompt: "a steam engine leaves the station", duration_seconds: 5 },
      // After a restart of the gateway the process is found again and followed to its end.
      restart: "resume",
      // Nothing stays in memory when the process has ended, so all of it is working memory.
      vram: ({ duration_seconds: size = 10 }, { vram_mib }) => ({
        model: "template-server",
        residentMiB: 0,
        workingMiB: vram_mib,
        size,
      }),
      run: program.run,
    },
  },
  health: program.health,
});
