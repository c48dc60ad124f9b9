/** What an operator writes about a program, in gateway.yaml. */
import { declaredOptions, fileKind, type Static, t } from "switchyard/sdk";

/** A name of one part in the job's own folder. */
const FILE_NAME = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$";

/** Other names are mistakes. */
const named = { default: {}, additionalProperties: false };

const text = (description: string) => t.String({ minLength: 1, description });

const rule = t.Object(
  {
    pattern: text('"tqdm", or a pattern with (?<done>) and (?<total>), or (?<percent>).'),
    stage: t.Optional(text("What clients read.")),
    title: t.Optional(text("With tqdm: only bars with such a title.")),
    after: t.Optional(text("Counts only after a line like this.")),
    weight: t.Optional(t.Number({ minimum: 0 })),
    bars: t.Optional(t.Integer({ minimum: 1 })),
  },
  { additionalProperties: false },
);

export const settings = {
  capability: fileKind,
  command: t.Array(t.Union([t.String(), t.Array(t.String(), { minItems: 1 })]), {
    default: [],
    description: "The program and its arguments; a list in the list is left out as a whole.",
  }),
  cwd: t.Optional(text("The folder it runs in; the job's own when absent. A full path.")),
  env: t.Record(t.String(), t.String(), { default: {}, description: "Variables for it." }),
  needs: t.Array(t.String(), { default: [], description: "Files that must exist." }),
  files: t.Record(t.String({ pattern: FILE_NAME }), t.String(), {
    ...named,
    description: "Files that are written for it into {{in}}, by name.",
  }),
  defaults: t.Record(t.String(), t.Union([t.Number(), t.String()]), {
    default: {},
    description: "For fields that a request leaves out.",
  }),
  options: declaredOptions,
  required: t.Array(t.String(), { default: [], description: "Fields that a request must have." }),
  output: t.String({ default: "*", minLength: 1, description: "Files below {{out}}." }),
  except: t.Optional(text("Files like `output` that are none.")),
  take: t.Union(
    ["newest", "one", "all"].map((name) => t.Literal(name)),
    { default: "newest", description: "Which of the files that fit." },
  ),
  preview: t.Optional(text("Files below {{out}} that show what the output is.")),
  progress: t.Array(rule, { default: [], description: "Lines that tell how far it is." }),
  quiet: t.Boolean({ default: false, description: "It prints nothing while it works." }),
  grace_ms: t.Integer({
    default: 10_000,
    minimum: 0,
    maximum: 600_000,
    description: "Time it gets to end by itself before it is killed.",
  }),
  model: t.String({ default: "program", minLength: 1, description: "For GET /vram." }),
  vram_mib: t.Integer({ default: 0, minimum: 0, description: "Held while it runs; 0: no GPU." }),
};

const schema = t.Object(settings);
export type Settings = Static<typeof schema>;
