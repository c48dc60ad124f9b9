/** What an operator writes about a program, in gateway.yaml. */
import { declaredCost, fileKind, type Static, t } from "switchyard/sdk";

const strict = { additionalProperties: false };
const text = (description: string) => t.String({ minLength: 1, description });
const oneOf = <const Words extends readonly string[]>(...words: Words) =>
  t.Union(words.map((word) => t.Literal(word as Words[number])));
const plain = t.Union([t.String(), t.Number(), t.Boolean(), t.Null()]);

const param = t.Object(
  {
    to: t.Union([text("The parameter's name."), t.Array(t.String(), { minItems: 1 })], {
      description: "Its name in the program; a list: further names, or labels, of other releases.",
    }),
    required: t.Optional(t.Boolean({ description: "The program must have it." })),
    or: t.Optional(text("The field that stands in when a request leaves this one out.")),
    cast: t.Optional(oneOf("auto", "integer", "text")),
    default: t.Optional(plain),
  },
  strict,
);

const output = t.Object(
  {
    return: t.Integer({ minimum: 0, description: "Place among the returned values, from 0." }),
    as: t.Optional(oneOf("file", "text")),
    required: t.Optional(t.Boolean({ description: "Without it the job has failed; true." })),
    role: t.Optional(oneOf("output", "preview")),
    name: t.Optional(text("Of the file, without an ending; of a text, in the job's output.")),
  },
  strict,
);
export const settings = {
  capability: fileKind,
  program: t.String({ default: "The Gradio program", description: "Its name, for messages." }),
  endpoint: t.Union([t.String(), t.Array(t.String(), { minItems: 1 })], {
    default: "/generate",
    description: "A list: the first one that the program has.",
  }),
  needs: t.Array(t.String(), { default: [], description: "Parameters by which it is known." }),
  page_title: t.Optional(text("What the title of its page must contain.")),
  newest_gradio: t.Optional(t.Integer({ minimum: 4, description: "The last version it runs on." })),
  params: t.Record(t.String({ pattern: "^[a-z][a-z0-9_]*$" }), param, {
    default: {},
    description: "Which parameter a field of a request goes to.",
  }),
  fixed: t.Record(t.String(), plain, { default: {}, description: "What no request can change." }),
  options: t.Optional(
    t.Array(t.String(), { description: "What requests may set; all but texts when absent." }),
  ),
  outputs: t.Array(output, {
    default: [{ return: 0 }],
    description: "Which of the returned values are stored.",
  }),
  failed_when: t.Optional(text("A returned text that contains it is a failure.")),
  cancel: t.Object(
    {
      mode: oneOf("drain", "interrupt", "cancel", "kill"),
      endpoint: t.Optional(text("For interrupt: what asks the program to stop.")),
    },
    { ...strict, default: { mode: "drain" }, description: "How work that runs is stopped." },
  ),
  collect: t.Optional(
    t.Object(
      { endpoint: text("Called after."), outputs: t.Array(output) },
      { ...strict, description: "A further call that tells what was made." },
    ),
  ),
  stages: t.Array(
    t.Object({ match: text("In the bar."), weight: t.Number({ minimum: 0 }) }, strict),
    {
      default: [],
      description: "Parts of the whole, by the descriptions of the progress bar.",
    },
  ),
  login: t.Optional(
    t.Object(
      { username: t.String(), password: t.String({ secret: true }) },
      { ...strict, description: "For a program that was started with a login." },
    ),
  ),
  stream_idle_ms: t.Integer({
    default: 60_000,
    minimum: 1_000,
    maximum: 3_600_000,
    description: "Longest silence of its event stream, which has a heartbeat every 15 s.",
  }),
  cost: declaredCost,
};
const schema = t.Object(settings);
export type Settings = Static<typeof schema>;
