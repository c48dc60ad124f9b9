/** Pictures from Template Server: a REST server that takes work and is asked how far it is. */
import { definePlugin, inputs, restJob, t } from "switchyard/sdk";

const config = {
  model: t.String({ default: "base", description: "Used when a request names no model." }),
  resident_mib: t.Integer({ default: 4096, minimum: 0, description: "A model's size, in MiB." }),
};

interface Settings {
  readonly model: string;
  readonly resident_mib: number;
}

// What the server has a use for; a request with another field goes elsewhere or is refused.
const input = t.Pick(inputs.image, ["prompt", "model", "width", "height", "steps", "seed"]);

const server = restJob<Settings, (typeof input)["static"]>({
  title: "Template Server",
  // The places of the templates below; by itself they are the fields of the request.
  values: ({ input }, { model }) => ({ model, ...input }),
  submit: {
    path: "/jobs",
    // A value goes in as what it is, and one that is not there leaves its field out.
    body: {
      prompt: "{{prompt}}",
      model: "{{model}}",
      width: "{{width}}",
      height: "{{height}}",
      steps: "{{steps}}",
      seed: "{{seed}}",
    },
    id: "$.id",
  },
  status: {
    path: "/jobs/{{id}}",
    field: "$.state",
    running: ["queued", "running"],
    done: ["done"],
    failed: ["failed"],
    cancelled: ["cancelled"],
    progress: { field: "$.progress", end: 1 },
    error: "$.error",
  },
  // Where the last answer names the file.
  result: { kind: "json-url", field: "$.url", of: "status" },
  cancel: { method: "DELETE", path: "/jobs/{{id}}" },
  health: { path: "/version", version: "$.version" },
});

export default definePlugin({
  apiVersion: 1,
  name: "template-server",
  version: "0.1.0",
  title: "Template Server",
  summary: "Pictures from Template Server.",
  defaultUrl: "http://127.0.0.1:9000",
  config,
  capabilities: {
    "image.generate": {
      route: "POST /generate/image",
      input,
      example: { prompt: "a red signal box in the snow", steps: 4 },
      // After a restart of the gateway the work is asked for again by the server's id.
      restart: "resume",
      // Runs of about the same size are learned from together: here pixels times steps.
      vram: ({ model, width = 512, height = 512, steps = 20 }, settings) => ({
        model: model ?? settings.model,
        residentMiB: settings.resident_mib,
        workingMiB: 1024,
        size: width * height * steps,
      }),
      run: server.run,
    },
  },
  health: server.health,
});
