/** What a client may ask of a text model, and what only the operator may decide. */
import { inputs, type Static, t } from "switchyard/sdk";
import { refusedName } from "./names.ts";
import type { Settings } from "./settings.ts";

const message = t.Object({
  role: t.Union([t.Literal("system"), t.Literal("user"), t.Literal("assistant")]),
  content: t.String({ maxLength: 1_000_000 }),
});

/** Options that Ollama reads per request. Fields of the request itself are not repeated here. */
const options = t.Object(
  {
    top_k: t.Optional(t.Integer({ minimum: 0 })),
    min_p: t.Optional(t.Number({ minimum: 0, maximum: 1 })),
    typical_p: t.Optional(t.Number({ minimum: 0, maximum: 1 })),
    repeat_last_n: t.Optional(t.Integer({ minimum: -1 })),
    repeat_penalty: t.Optional(t.Number({ minimum: 0 })),
    presence_penalty: t.Optional(t.Number()),
    frequency_penalty: t.Optional(t.Number()),
    num_keep: t.Optional(t.Integer({ minimum: -1 })),
  },
  { additionalProperties: t.Unknown(), description: "Ollama's sampling options." },
);

export const generateInput = t.Composite([
  t.Omit(inputs.text, ["prompt"]),
  t.Object({
    prompt: t.Optional(inputs.text.properties.prompt),
    messages: t.Optional(
      t.Array(message, { minItems: 1, maxItems: 1_000, description: "A chat, instead of prompt." }),
    ),
    format: t.Optional(
      t.Union([t.Literal("json"), t.Object({}, { additionalProperties: t.Unknown() })], {
        description: '"json", or a JSON schema that the answer must follow.',
      }),
    ),
    think: t.Optional(
      t.Union([t.Boolean(), t.Literal("low"), t.Literal("medium"), t.Literal("high")], {
        description: "Reasoning, on models that can; it comes back in thinking.",
      }),
    ),
    truncate: t.Boolean({
      default: false,
      description: "Cuts an input longer than the model's context instead of refusing it.",
    }),
    options: t.Optional(options),
  }),
]);

export type GenerateInput = Static<typeof generateInput>;

const LOAD_TIME = new Set(
  "num_ctx num_batch num_gpu main_gpu num_thread use_mmap use_mlock draft_num_predict".split(" "),
);
const OWN_FIELD: ReadonlyMap<string, string> = new Map([
  ["num_predict", "max_tokens"],
  ...["temperature", "top_p", "seed", "stop"].map((name): [string, string] => [name, name]),
]);

/** Why a request can never work, or undefined. */
export function checkGenerate(input: GenerateInput, config: Settings): string | undefined {
  if (input.prompt === undefined && input.messages === undefined) {
    return "prompt: missing; send prompt, or messages for a chat";
  }
  if (input.prompt !== undefined && input.messages !== undefined) {
    return "messages: send either prompt or messages, not both";
  }
  const refused = Object.keys(input.options ?? {}).find(
    (name) => !Object.hasOwn(options.properties, name),
  );
  if (refused !== undefined) return refusedOption(refused);
  return refusedName(input.model ?? config.model, config);
}

function refusedOption(name: string): string {
  if (LOAD_TIME.has(name)) {
    return `options.${name}: fixed per model by the operator, because a change reloads the model`;
  }
  const field = OWN_FIELD.get(name);
  if (field !== undefined) return `options.${name}: send it as ${field}, beside options`;
  return `options.${name}: unknown; known are ${Object.keys(options.properties).join(", ")}`;
}
