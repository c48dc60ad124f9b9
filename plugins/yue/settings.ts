/** What an operator can say about a YuE server or program. */
import { type Static, t } from "switchyard/sdk";

export const VARIANTS = ["yue2.cpp", "yuegp", "yue2", "yue-v1"] as const;

export const settings = {
  variant: t.Union(
    ["auto" as const, ...VARIANTS].map((name) => t.Literal(name)),
    {
      default: "auto",
      description: "auto asks the server at `url`: yue2.cpp or yuegp. Commands: yue2, yue-v1.",
    },
  ),
  command: t.Optional(
    t.Array(t.String({ minLength: 1 }), {
      minItems: 1,
      description: "yue2, yue-v1: the program and its first arguments.",
    }),
  ),
  folder: t.Optional(
    t.String({
      minLength: 1,
      description: "Where the command runs; for yue-v1 the folder `inference` of its repository.",
    }),
  ),
  max_sections: t.Optional(
    t.Integer({
      minimum: 1,
      maximum: 10,
      description: "yue-v1, yuegp: sections of one song; memory grows with them.",
    }),
  ),
  reference_audio: t.Boolean({
    default: false,
    description: "yue-v1, yuegp: songs after `init_audio`, by the models for that (--icl).",
  }),
  profile: t.Integer({
    default: 3,
    minimum: 1,
    maximum: 5,
    description: "yuegp: the --profile that it was started with.",
  }),
  keep_loaded: t.Boolean({
    default: false,
    description: "yue2.cpp: it was started with --keep-loaded.",
  }),
  budget_gib: t.Number({
    default: 22,
    minimum: 4,
    maximum: 1_024,
    description: "yue2: GiB of GPU memory that it may take, its --budget.",
  }),
};
const schema = t.Object(settings);
export type Settings = Static<typeof schema>;

/** YuE v1 at 24 GB sings two sections (its README); YuEGP's page goes to ten. */
export function maxSections({ variant, max_sections }: Settings): number {
  return max_sections ?? (variant === "yue-v1" ? 2 : 10);
}
