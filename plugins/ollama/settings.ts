/** The operator's settings for one Ollama server. */
import { type Static, t } from "switchyard/sdk";

/** What Go's `time.ParseDuration` accepts; Ollama refuses a bare number in quotes. */
const GO_DURATION = "^(0|[-+]?((\\d+(\\.\\d*)?|\\.\\d+)(ns|us|µs|ms|s|m|h))+)$";

const schema = t.Object({
  model: t.String({
    minLength: 1,
    default: "llama3.1:8b",
    description: "Generates text when a request names no model.",
  }),
  embed_model: t.String({
    minLength: 1,
    default: "snowflake-arctic-embed:l",
    description: "Makes embeddings when a request names no model.",
  }),
  embed_on_cpu: t.Boolean({
    default: false,
    description: "Keeps embed_model out of GPU memory; slower, but it never waits for the GPU.",
  }),
  num_ctx: t.Record(t.String(), t.Integer({ minimum: 64, maximum: 4_194_304 }), {
    default: {},
    description: "Context length in tokens per model. A change reloads the model.",
  }),
  default_num_ctx: t.Integer({
    default: 4096,
    minimum: 64,
    maximum: 4_194_304,
    description: "Context length in tokens of models that num_ctx does not list.",
  }),
  keep_alive: t.Union([t.Number(), t.String({ pattern: GO_DURATION })], {
    default: "30m",
    description:
      'How long an idle model stays loaded: "30m", "1h30m", or a number of seconds; ' +
      "below 0 = for ever.",
  }),
  default_max_tokens: t.Integer({
    default: 2048,
    minimum: 1,
    maximum: 131_072,
    description: "Longest answer in tokens when a request names no max_tokens.",
  }),
  load_timeout_ms: t.Integer({
    default: 360_000,
    minimum: 1_000,
    maximum: 3_600_000,
    description: "Longest wait for the first token: loading the model and reading the prompt.",
  }),
  resident_mib: t.Record(t.String(), t.Integer({ minimum: 0 }), {
    default: {},
    description: "GPU memory per model in MiB as `ollama ps` shows it, context included.",
  }),
  fallback_resident_mib: t.Integer({
    default: 10_000,
    minimum: 0,
    description: "Assumed weights in MiB of a model whose name does not tell its size.",
  }),
  kv_kib_per_token: t.Integer({
    default: 128,
    minimum: 0,
    description: "Assumed context memory in KiB per token, on top of the weights.",
  }),
  allow_cloud_models: t.Boolean({
    default: false,
    description: "Offers models that ollama.com computes. Their prompts leave this machine.",
  }),
});

export const settings = schema.properties;
export type Settings = Static<typeof schema>;
