/** The models of the fake Ollama, and how `/api/tags` and `/api/ps` show them. */
import type { FakeModel, Runner } from "./ollama-runners.ts";
import { Refusal } from "./ollama-wire.ts";

const GB = 1e9;
/** Of the year 2318: what a real server shows of a model that stays for ever. */
const LAST_DAY = Date.UTC(2318, 0, 1);

const model = (name: string, rest: Partial<FakeModel>): FakeModel => ({
  name,
  size: 4.9 * GB,
  capabilities: ["completion"],
  contextLength: 131_072,
  embeddingLength: 4_096,
  parameterSize: "8.0B",
  quantization: "Q4_K_M",
  ...rest,
});

export const MODELS: readonly FakeModel[] = [
  model("llama3.1:8b", { capabilities: ["completion", "tools"] }),
  model("llama3.2:latest", { size: 2 * GB, parameterSize: "3.2B" }),
  model("qwen3:8b", { size: 5.2 * GB, capabilities: ["completion", "tools", "thinking"] }),
  model("snowflake-arctic-embed:l", {
    size: 0.67 * GB,
    capabilities: ["embedding"],
    contextLength: 512,
    embeddingLength: 1_024,
    parameterSize: "334.09M",
    quantization: "F16",
  }),
  model("gpt-oss:120b-cloud", {
    size: 384,
    parameterSize: "116.8B",
    quantization: "MXFP4",
    remoteHost: "https://ollama.com:443",
  }),
];

/** The routes word the same refusal in two ways (seen on a real server). */
export function find(name: unknown, route: string): FakeModel {
  const full = String(name).includes(":") ? String(name) : `${name}:latest`;
  const found = MODELS.find((candidate) => candidate.name === full);
  if (found !== undefined) return found;
  const text =
    route === "generate"
      ? `model '${name}' not found`
      : `model "${name}" not found, try pulling it first`;
  throw new Refusal(404, text);
}

export function tagOf(found: FakeModel, isOld: boolean): Record<string, unknown> {
  const { name, size, capabilities, remoteHost } = found;
  const remote = remoteHost && {
    remote_host: remoteHost,
    remote_model: name.replace("-cloud", ""),
  };
  const details = detailsOf(found);
  const { context_length, embedding_length, ...oldDetails } = details;
  return {
    name,
    model: name,
    modified_at: "2026-11-01T12:00:00Z",
    size,
    digest: digestOf(name),
    details: isOld ? oldDetails : details,
    ...(isOld ? {} : { capabilities }),
    ...remote,
  };
}

export function runningOf(runner: Runner): Record<string, unknown> {
  const { name } = runner.model;
  return {
    name,
    model: name,
    size: runner.sizeBytes,
    digest: digestOf(name),
    details: detailsOf(runner.model),
    expires_at: new Date(Math.min(runner.expiresAt, LAST_DAY)).toISOString(),
    size_vram: runner.vramBytes,
    context_length: runner.numCtx,
  };
}

export function detailsOf(found: FakeModel): Record<string, unknown> {
  return {
    parent_model: "",
    format: "gguf",
    family: "llama",
    families: ["llama"],
    parameter_size: found.parameterSize,
    quantization_level: found.quantization,
    context_length: found.contextLength,
    embedding_length: found.embeddingLength,
  };
}

function digestOf(name: string): string {
  return Buffer.from(name.padEnd(32, ".")).toString("hex").slice(0, 64);
}
