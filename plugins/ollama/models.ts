/** What the server has on disk, as clients see it. */
import { type Context, type Static, t } from "switchyard/sdk";
import { isCloudName, numCtxOf } from "./names.ts";
import { running } from "./residents.ts";
import type { Settings } from "./settings.ts";

const MIB = 1024 ** 2;

const Tag = t.Object({
  name: t.String(),
  size: t.Number(),
  remote_host: t.Optional(t.String()),
  remote_model: t.Optional(t.String()),
  capabilities: t.Optional(t.Array(t.String())),
  details: t.Optional(
    t.Object({
      parameter_size: t.Optional(t.String()),
      quantization_level: t.Optional(t.String()),
      context_length: t.Optional(t.Number()),
    }),
  ),
});
const Tags = t.Object({ models: t.Array(Tag) });

/** One model, as a client sees it; null where Ollama does not say. */
export interface Model {
  readonly [detail: string]: unknown;
  readonly name: string;
  readonly size_mib: number;
  readonly parameter_size: string | null;
  readonly quantization: string | null;
  /** The longest context that the model can take, and the one that this gateway loads it with. */
  readonly context_length: number | null;
  readonly num_ctx: number;
  readonly capabilities: readonly string[] | null;
  /** Computed by ollama.com; only there when the operator allows it. */
  readonly remote?: true;
}

export interface ListedModel extends Model {
  readonly loaded: boolean;
  /** Below 100 the model did not fit: the rest is on the CPU, and it runs many times slower. */
  readonly gpu_percent: number | null;
}

/** `GET /llm/models`. */
export async function list(ctx: Context<Settings>, signal: AbortSignal): Promise<ListedModel[]> {
  const [models, loaded] = await Promise.all([onDisk(ctx, signal), running(ctx, signal)]);
  return models.map((model) => {
    const found = loaded.find(({ name }) => name === model.name);
    const gpuPercent = found === undefined ? null : (100 * found.size_vram) / (found.size || 1);
    const gpu_percent = gpuPercent === null ? null : Math.round(gpuPercent);
    return { ...model, loaded: found !== undefined, gpu_percent };
  });
}

/** Every name that a request may write: Ollama reads `llama3.2` as `llama3.2:latest`. */
export async function named(ctx: Context<Settings>, signal: AbortSignal): Promise<Model[]> {
  return (await onDisk(ctx, signal)).flatMap((model) =>
    model.name.endsWith(":latest") ? [model, { ...model, name: model.name.slice(0, -7) }] : [model],
  );
}

async function onDisk({ http, config }: Context<Settings>, signal: AbortSignal): Promise<Model[]> {
  const { models } = await http.get("/api/tags", { signal, as: Tags });
  const offered = models.filter((tag) => config.allow_cloud_models || !isRemote(tag));
  return offered.map((tag) => ({
    name: tag.name,
    size_mib: Math.ceil(tag.size / MIB),
    parameter_size: tag.details?.parameter_size || null,
    quantization: tag.details?.quantization_level || null,
    context_length: tag.details?.context_length ?? null,
    num_ctx: numCtxOf(tag.name, config),
    capabilities: tag.capabilities ?? null,
    ...(isRemote(tag) ? { remote: true as const } : {}),
  }));
}

function isRemote(tag: Static<typeof Tag>): boolean {
  return isCloudName(tag.name) || Boolean(tag.remote_host) || Boolean(tag.remote_model);
}
