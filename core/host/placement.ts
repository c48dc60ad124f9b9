/** Who else could do the same work: the choices that the scheduler has beside the first one. */
import type { VramCost } from "../sdk/plugin.ts";
import type { Backend } from "./backend.ts";
import type { Fields } from "./fields.ts";
import type { ModelLists } from "./model-lists.ts";
import type { OptionLists } from "./options.ts";
import type { Offer, Service } from "./services.ts";

/** A backend that may do the work, and what it asks of that backend's device. */
export interface Choice {
  readonly backend: Backend;
  readonly demand?: VramCost;
}

export interface Shortage {
  readonly device: string;
  readonly neededMiB: number;
  readonly availableMiB: number;
}

export interface Placement {
  /**
   * Backends with the same plugin that work or can be started, take the same checked input with
   * its options, know its model, and whose device is large enough; in the order of the service.
   */
  others(service: Service, first: Choice, input: Record<string, unknown>): Choice[];
}

export interface PlacementOptions {
  /** Undefined, or why the demand can never be met. */
  readonly shortage: (backend: string, demand: VramCost) => Shortage | undefined;
  readonly lists: ModelLists;
  readonly options: OptionLists;
  readonly fieldsOf: (service: Service) => Fields;
}

export function createPlacement(ports: PlacementOptions): Placement {
  const { shortage, lists, options, fieldsOf } = ports;

  function choiceOf(
    offer: Offer,
    service: Service,
    first: Choice,
    input: Record<string, unknown>,
  ): Choice | undefined {
    const { backend, capability } = offer;
    const { kind } = service;
    try {
      const fields = fieldsOf(service);
      if (fields.refusal(offer, fields.wanted(input))) return undefined;
      if (options.checkNow(offer, input.options).length > 0) return undefined;
      const { config } = backend.context("");
      if (backend.run(() => capability.check?.(input, config)) !== undefined) return undefined;
      const demand = backend.run(() => backend.demand(kind, input));
      // With other settings the same request may mean another model, which is other work.
      if (demand?.model !== first.demand?.model) return undefined;
      if (demand && shortage(backend.name, demand)) return undefined;
      const { model } = input;
      if (typeof model === "string" && !lists.knows(backend, model)) return undefined;
      return { backend, demand };
    } catch {
      // A plugin that fails on this request is no choice; the first one's failure is what counts.
      return undefined;
    }
  }

  return {
    others(service, first, input) {
      return twinsOf(service, first.backend).flatMap(
        (offer) => choiceOf(offer, service, first, input) ?? [],
      );
    },
  };
}

/** The offers of other backends with the same plugin that are not known to be down. */
export function twinsOf({ offers }: Service, backend: Backend): Offer[] {
  if (offers.length < 2) return [];
  const own = offers.find((offer) => offer.backend === backend);
  return offers.filter(
    (offer) =>
      offer !== own &&
      offer.backend.use === backend.use &&
      // The same literal: the same schema, the same checks, the same restricted fields.
      offer.capability === own?.capability &&
      offer.backend.state.status !== "down",
  );
}
