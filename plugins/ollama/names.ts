/** Model names as Ollama compares them, and what is fixed for a model by its name. */
import type { Settings } from "./settings.ts";

/** Adds the tag that Ollama assumes, so that one model has one name in the ledger. */
export function canonical(model: string): string {
  return model.slice(model.lastIndexOf("/") + 1).includes(":") ? model : `${model}:latest`;
}

/** The entry for a model in a per-model setting, whichever way the operator wrote its name. */
export function entryOf<T>(entries: Readonly<Record<string, T>>, model: string): T | undefined {
  const name = canonical(model);
  return Object.entries(entries).find(([key]) => canonical(key) === name)?.[1];
}

/** Cloud models carry their place in the tag: `gpt-oss:120b-cloud`, `kimi-k2:cloud`. */
export function isCloudName(model: string): boolean {
  return /[:-]cloud$/i.test(model);
}

export function runsOnCpu(model: string, config: Settings): boolean {
  return config.embed_on_cpu && canonical(model) === canonical(config.embed_model);
}

export function numCtxOf(model: string, config: Settings): number {
  return entryOf(config.num_ctx, model) ?? config.default_num_ctx;
}

/**
 * The options Ollama reads when it loads a model. They depend on the model alone: a request that
 * differs from the loaded runner in any of them makes Ollama unload and load the model again.
 */
export function loadOptions(model: string, config: Settings): Record<string, number> {
  const numCtx = { num_ctx: numCtxOf(model, config) };
  return runsOnCpu(model, config) ? { ...numCtx, num_gpu: 0 } : numCtx;
}

/** Why the gateway refuses a model by its name alone, or undefined. */
export function refusedName(model: string, config: Settings): string | undefined {
  if (!isCloudName(model) || config.allow_cloud_models) return undefined;
  return (
    `model: ${model} is computed by ollama.com, so the prompt would leave this machine; ` +
    "the operator can allow it with allow_cloud_models: true"
  );
}
