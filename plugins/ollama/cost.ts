/**
 * What a model is expected to hold in GPU memory. llama.cpp allocates weights, context and buffers
 * when it loads, so everything is resident and a request needs nothing on top.
 */
import type { VramCost } from "switchyard/sdk";
import { canonical, entryOf, isCloudName, numCtxOf, runsOnCpu } from "./names.ts";
import type { Settings } from "./settings.ts";

/** Models whose name does not tell their size; the operator's `resident_mib` comes first. */
const KNOWN_MIB: Readonly<Record<string, number>> = {
  /** 335 M parameters at 16 bits are 640 MiB; the rest is an allowance for buffers. */
  "snowflake-arctic-embed:l": 1_000,
};

/** CUDA context, compute buffers. */
const BUFFERS_MIB = 300;
/** Ollama's own tags are 4-bit where they do not say otherwise. */
const DEFAULT_BITS = 4;

/**
 * `size`: tokens to write, or texts to embed. Reading a prompt takes a small part of what writing as
 * many tokens takes, so its length does not count. How long any of it lasts depends on the card and
 * the model alone, so nothing is declared: the gateway measures it.
 */
export function costOf(model: string, config: Settings, size: number): VramCost {
  return { model: canonical(model), residentMiB: residentMiB(model, config), workingMiB: 0, size };
}

function residentMiB(model: string, config: Settings): number {
  if (isCloudName(model) || runsOnCpu(model, config)) return 0;
  const stated = entryOf(config.resident_mib, model) ?? entryOf(KNOWN_MIB, model);
  if (stated !== undefined) return stated;
  const weightsMiB = weightsFromName(model) ?? config.fallback_resident_mib;
  const contextMiB = (numCtxOf(model, config) * config.kv_kib_per_token) / 1024;
  return Math.ceil(weightsMiB + contextMiB + BUFFERS_MIB);
}

/**
 * `llama3.1:8b-instruct-q8_0` says 8 billion weights of 8 bits. Quantised files keep scales and
 * some tensors at higher precision: about 0.85 bits per weight more, and names round down: a tenth.
 */
function weightsFromName(model: string): number | undefined {
  const billions = /[:-](?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z0-9])/i.exec(model);
  if (billions === null) return undefined;
  const [, experts = "1", size = "0"] = billions;
  const bits = /[-_:](?:fp|f|bf)16\b/i.test(model)
    ? 16
    : Number(/[-_:]i?q([2-8])(?:_|$|-)/i.exec(model)?.[1] ?? DEFAULT_BITS) + 0.85;
  return ((Number(experts) * Number(size) * 1e9 * bits) / 8 / 1024 ** 2) * 1.1;
}
