/** The fields of a request that AudioCraft has a use for. */
import { inputs, type Static, t } from "switchyard/sdk";
import type { Settings, VariantName } from "./settings.ts";

const narrowed = t.Object({
  duration_seconds: t.Optional(
    t.Number({ minimum: 1, maximum: 120, description: "The backend's own when absent." }),
  ),
});

export const musicInput = t.Composite([
  t.Pick(inputs.music, ["prompt", "model", "cfg", "init_audio", "format", "options"]),
  narrowed,
]);
export const audioInput = t.Composite([
  t.Pick(inputs.audio, ["prompt", "model", "cfg", "seed", "format", "options"]),
  narrowed,
]);

export type MusicRequest = Static<typeof musicInput>;
export type AudioRequest = Static<typeof audioInput>;

const ALL = ["prompt", "model", "format", "options"];
/** MAGNeT makes what its model is trained for: 10 or 30 seconds. */
const TAKEN: Readonly<Record<VariantName, readonly string[]>> = {
  musicgen: [...ALL, "duration_seconds", "cfg", "init_audio"],
  magnet: ALL,
  audiogen: [...ALL, "duration_seconds", "cfg", "seed"],
};

/** While it is not known which program answers, what any of them takes. */
export function takes({ variant }: Settings): readonly string[] {
  return variant === "auto" ? [...new Set(Object.values(TAKEN).flat())] : TAKEN[variant];
}
