/** What an operator can say about a Stable Audio server. */
import { type Static, t } from "switchyard/sdk";

export const VARIANTS = ["stable-audio-tools", "stable-audio-3", "command"] as const;
const KINDS = ["audio.generate", "music.generate"] as const;

export const settings = {
  variant: t.Union(
    ["auto" as const, ...VARIANTS].map((name) => t.Literal(name)),
    { default: "auto", description: "What is installed; auto asks the server at `url`." },
  ),
  serves: t.Array(t.Union(KINDS.map((kind) => t.Literal(kind))), {
    default: [...KINDS],
    minItems: 1,
    uniqueItems: true,
    description: "What the model is for: sounds, music, or both.",
  }),
  model: t.Optional(
    t.String({
      minLength: 1,
      maxLength: 256,
      description: "The model that the server was started with, or that the command loads.",
    }),
  ),
  username: t.Optional(t.String({ description: "Of a server that was started with a login." })),
  password: t.Optional(t.String({ secret: true, description: "Of its login." })),
  command: t.Array(t.String({ minLength: 1 }), {
    default: ["stable-audio"],
    minItems: 1,
    description: "The command of Stable Audio 3 and its first arguments.",
  }),
  folder: t.Optional(
    t.String({ description: "Where the command runs; the job's own unless said." }),
  ),
  chunked_decode: t.Boolean({
    default: false,
    description: "The command decodes piece by piece: less memory, a little slower.",
  }),
};

const schema = t.Object(settings);
export type Settings = Static<typeof schema>;

export const MODELS = ["medium", "small-music", "small-sfx"] as const;
export const BASE_MODELS = MODELS.map((name) => `${name}-base`);

/** What the books call the weights. */
export function modelOf(settings: Settings, asked?: string): string {
  if (asked !== undefined) return asked;
  if (settings.model !== undefined) return settings.model;
  return settings.variant === "command" ? "medium" : "stable-audio";
}
