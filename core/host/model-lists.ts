/**
 * Which models each backend had when it last told: enough to place a request on another backend
 * without asking every server for every request.
 */
import type { GatewayError } from "../errors.ts";
import { nearest } from "../sdk/nearest.ts";
import { invalid } from "../validation.ts";
import type { Backend } from "./backend.ts";
import { usable } from "./health.ts";

export interface ModelLists {
  /** Whether its last list has the model; an old or missing list is asked for again on the side. */
  knows(backend: Backend, model: string): boolean;
  /** Asks these now, as far as they work; never throws. */
  ask(backends: readonly Backend[]): Promise<void>;
  /** Why it cannot serve the model, asked now; throws when it does not answer. */
  refusal(backend: Backend, model: string): Promise<GatewayError | undefined>;
}

interface Known {
  readonly names: ReadonlySet<string>;
  readonly atMs: number;
}

/** A server that works may have lost or gained models since. */
const TRUSTED_MS = 60_000;
const ASK_AGAIN_MS = 10_000;

export function createModelLists(monotonicMs: () => number): ModelLists {
  const lists = new WeakMap<Backend, Known>();
  const askedAtMs = new WeakMap<Backend, number>();

  async function refresh(backend: Backend): Promise<void> {
    askedAtMs.set(backend, monotonicMs());
    try {
      const models = (await backend.models()) ?? [];
      const names = new Set(models.map(({ name }) => name));
      lists.set(backend, { names, atMs: monotonicMs() });
    } catch {
      // It is no choice until it tells; why it does not is what its health check is for.
    }
  }

  function refreshWhenOld(backend: Backend): void {
    const lastMs = askedAtMs.get(backend);
    if (lastMs === undefined || monotonicMs() - lastMs >= ASK_AGAIN_MS) void refresh(backend);
  }

  return {
    knows(backend, model) {
      // Any name will do where the plugin has no list.
      if (!backend.plugin?.models) return true;
      const works = usable(backend.state.status);
      if (works) refreshWhenOld(backend);
      const known = lists.get(backend);
      // What sleeps does not change its models.
      const isTrusted = known && (!works || monotonicMs() - known.atMs < TRUSTED_MS);
      return isTrusted === true && known.names.has(model);
    },
    async ask(backends) {
      const able = backends.filter(({ plugin, state }) => plugin?.models && usable(state.status));
      await Promise.all(able.map(refresh));
    },
    async refusal(backend, model) {
      if (hasModel(await backend.models(), model)) return undefined;
      const models = (await backend.models(true)) ?? [];
      if (hasModel(models, model)) return undefined;
      const names = models.map(({ name }) => name);
      const guess = nearest(model, names);
      const hint = guess ? `did you mean "${guess}"?` : `it has ${names.slice(0, 20).join(", ")}`;
      const message = `${backend.title} has no model "${model}"; ${hint}`;
      return invalid([{ field: "/model", message }]);
    },
  };
}

const hasModel = (models: readonly { name: string }[] | undefined, model: string): boolean =>
  !models || models.some(({ name }) => name === model);
