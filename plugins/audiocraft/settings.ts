/** What an operator can say about AudioCraft, and which capabilities follow from it. */
import { type Static, t } from "switchyard/sdk";

export const VARIANTS = ["musicgen", "magnet", "audiogen"] as const;

const model = (name: string, what: string) =>
  t.String({ default: name, minLength: 1, description: `${what} when a request names no model.` });

export const settings = {
  variant: t.Union(
    ["auto" as const, ...VARIANTS].map((name) => t.Literal(name)),
    { default: "auto", description: "What is installed; auto asks the server at `url`." },
  ),
  musicgen_model: model("facebook/musicgen-stereo-melody", "Makes music with MusicGen"),
  magnet_music_model: model("facebook/magnet-small-10secs", "Makes music with MAGNeT"),
  magnet_audio_model: model("facebook/audio-magnet-medium", "Makes sounds with MAGNeT"),
  audiogen_model: model("facebook/audiogen-medium", "Makes sounds with AudioGen"),
  username: t.Optional(t.String({ description: "Of a server that was started with a login." })),
  password: t.Optional(t.String({ secret: true, description: "Of its login." })),
  python: t.Array(t.String({ minLength: 1 }), {
    default: ["python3"],
    minItems: 1,
    description: "Runs AudioGen: the Python of an environment that has audiocraft.",
  }),
};

const schema = t.Object(settings);
export type Settings = Static<typeof schema>;
export type VariantName = (typeof VARIANTS)[number];

/** Which of them make a kind of work; the first that answers does it. */
export const MAKERS = {
  "music.generate": ["musicgen", "magnet"],
  "audio.generate": ["magnet", "audiogen"],
} as const;
export type Kind = keyof typeof MAKERS;
export const KINDS = Object.keys(MAKERS) as readonly Kind[];

export function offers({ variant }: Settings): readonly string[] {
  return KINDS.filter(
    (kind) => variant === "auto" || MAKERS[kind].some((maker) => maker === variant),
  );
}

/** The model of a request, which is also its name in the books. */
export function modelFor(kind: Kind, settings: Settings, asked: string | undefined): string {
  if (asked !== undefined) return asked;
  const { variant, musicgen_model, magnet_music_model, magnet_audio_model } = settings;
  if (variant === "audiogen") return settings.audiogen_model;
  if (kind === "audio.generate") return magnet_audio_model;
  return variant === "magnet" ? magnet_music_model : musicgen_model;
}
