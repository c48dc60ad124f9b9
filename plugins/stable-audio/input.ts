/** The fields of a request that Stable Audio has a use for. */
import { inputs, type Static, t } from "switchyard/sdk";
import type { Settings } from "./settings.ts";

const SHARED = ["negative_prompt", "seed", "init_audio", "strength", "format", "options"] as const;

const narrowed = t.Object({
  // It goes into an index as it is: a fraction would fail in the middle of the work.
  duration_seconds: t.Optional(
    t.Integer({
      minimum: 1,
      maximum: 512,
      description: "Whole seconds; the model's own length when absent.",
    }),
  ),
  steps: t.Optional(t.Integer({ minimum: 1, maximum: 500, description: "Sampling steps." })),
  cfg: t.Optional(
    t.Number({ minimum: 0, maximum: 25, description: "Classifier-free guidance scale." }),
  ),
});

export const audioInput = t.Composite([
  t.Pick(inputs.audio, ["prompt", "model", ...SHARED]),
  narrowed,
]);
export const musicInput = t.Composite([
  t.Pick(inputs.music, ["prompt", "model", ...SHARED]),
  narrowed,
]);

export type Request = Static<typeof audioInput>;

/** A server has one model, the command loads the one that is asked for. */
export function takes({ variant }: Settings): readonly string[] {
  const fields = Object.keys(audioInput.properties);
  return fields.filter((field) =>
    variant === "command" ? field !== "options" : field !== "model",
  );
}
