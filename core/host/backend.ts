/** One configured backend: its plugin, its settings, and what is known of its health. */
import { AsyncLocalStorage } from "node:async_hooks";
import type { BackendStatus } from "../events/mod.ts";
import { messageOf } from "../log.ts";
import type {
  AnyCapability,
  AnyPlugin,
  Context,
  Health,
  ModelEntry,
  Resident,
  VramCost,
} from "../sdk/plugin.ts";
import { inTime } from "./in-time.ts";
import { createOwned, type Owned } from "./owned.ts";

/** Settings that every backend has, whatever its plugin. */
export interface BackendSettings {
  readonly url?: string;
  readonly device: string;
  readonly concurrency: number;
  readonly queueWhenDown: boolean;
  readonly queueTimeoutMs: number;
  readonly attemptTimeoutMs: number;
  readonly stallTimeoutMs: number;
  readonly healthTimeoutMs: number;
}

export interface BackendState {
  readonly status: BackendStatus;
  /** Why it is degraded or down. */
  readonly reason?: string;
  readonly version?: string;
  /** The capabilities that the server has, where its plugin can tell. */
  readonly offers?: readonly string[];
  /** Wall-clock milliseconds: no job is sent before, because those before it failed. */
  readonly retryAtMs?: number;
  /** Wall-clock milliseconds of the last check; undefined before the first. */
  readonly checkedAtMs?: number;
}

export interface Backend {
  readonly name: string;
  /** Undefined when the plugin is broken; then the state says why. */
  readonly plugin: AnyPlugin | undefined;
  readonly use: string;
  readonly title: string;
  readonly settings: BackendSettings;
  state: BackendState;
  capability(kind: string): AnyCapability | undefined;
  context(keyId: string): Context<unknown>;
  demand(kind: string, input: unknown): VramCost | undefined;
  /** Runs plugin code so that a stray error can be traced to this backend. */
  run<T>(work: () => T): T;
  /** The plugin's calls about its models in memory; each absent when the plugin has none. */
  readonly memory: {
    readonly frees: "model" | "everything";
    readonly residents?: (signal: AbortSignal) => Promise<readonly Resident[]>;
    readonly load?: (model: string, signal: AbortSignal) => Promise<void>;
    readonly free?: (model: string, signal: AbortSignal) => Promise<void>;
  };
  /** Processes that work on its jobs, beside its server's. */
  readonly owned: Owned;
  /** Asks the plugin now; never throws. */
  health(): Promise<Health>;
  /** Models by name, from a short-lived cache unless `fresh`; undefined when it has no list. */
  models(fresh?: boolean): Promise<readonly ModelEntry[] | undefined>;
}

const MODELS_FRESH_MS = 10_000;
const current = new AsyncLocalStorage<string>();

/** The backend whose plugin code runs in this asynchronous context. */
export function currentBackend(): string | undefined {
  return current.getStore();
}

export interface BackendOptions {
  readonly name: string;
  readonly use: string;
  readonly plugin: AnyPlugin | undefined;
  /** Why there is no plugin. */
  readonly broken?: string;
  readonly settings: BackendSettings;
  readonly context: (keyId: string) => Context<unknown>;
  readonly monotonicMs: () => number;
  readonly owned?: Owned;
}

export function createBackend(options: BackendOptions): Backend {
  const { name, use, plugin, broken, settings, context, monotonicMs } = options;
  const run = <T>(work: () => T): T => current.run(name, work);
  // Health checks and lists are the gateway's own; no key asks.
  const own = () => context("");
  let asking: Promise<readonly ModelEntry[]> | undefined;
  let cached: { readonly models: readonly ModelEntry[]; readonly atMs: number } | undefined;

  return {
    name,
    use,
    plugin,
    title: plugin?.title ?? name,
    settings,
    state: broken === undefined ? { status: "starting" } : { status: "down", reason: broken },
    run,
    context,
    owned: options.owned ?? createOwned(),
    capability: (kind) =>
      plugin && Object.hasOwn(plugin.capabilities, kind) ? plugin.capabilities[kind] : undefined,
    demand(kind, input) {
      const cost = plugin?.capabilities[kind]?.vram?.(input, own().config);
      return cost && cost.residentMiB + cost.workingMiB > 0 ? cost : undefined;
    },
    memory: memoryOf(plugin, own, run, settings.healthTimeoutMs),
    async health() {
      if (!plugin) return { status: "down", reason: broken ?? "no plugin" };
      const limitMs = settings.healthTimeoutMs;
      try {
        return await inTime("it", limitMs, (signal) => run(() => plugin.health(own(), signal)));
      } catch (error) {
        return { status: "down", reason: messageOf(error) };
      }
    },
    async models(fresh = false) {
      if (!plugin?.models) return undefined;
      if (cached && !fresh && monotonicMs() - cached.atMs < MODELS_FRESH_MS) return cached.models;
      // Who asks while the server is being asked gets that answer.
      asking ??= inTime(plugin.title, settings.healthTimeoutMs, (signal) =>
        run(() => plugin.models?.(own(), signal) ?? []),
      ).finally(() => {
        asking = undefined;
      });
      const models = await asking;
      cached = { models, atMs: monotonicMs() };
      return models;
    },
  };
}

function memoryOf(
  plugin: AnyPlugin | undefined,
  own: () => Context<unknown>,
  run: Backend["run"],
  limitMs: number,
): Backend["memory"] {
  const { frees = "model", residents, load, free } = plugin ?? {};
  return {
    frees,
    // A list is asked for by the clock and must come in time; a load may take what it takes.
    residents:
      residents &&
      ((signal) =>
        inTime(plugin?.title ?? "it", limitMs, (late) =>
          run(() => residents(own(), AbortSignal.any([signal, late]))),
        )),
    load: load && (async (model, signal) => run(() => load(own(), model, signal))),
    free: free && (async (model, signal) => run(() => free(own(), model, signal))),
  };
}
