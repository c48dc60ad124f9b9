/**
 * What the configured backends offer together: which backend serves a request, and whether the
 * request can be served at all. Everything that is refused here is refused before a job exists.
 */
import { type Static, type TProperties, Type as t } from "@sinclair/typebox";
import type { Principal } from "../auth/principal.ts";
import { GatewayError } from "../errors.ts";
import type { VramCost } from "../sdk/plugin.ts";
import { createCheck, invalid } from "../validation.ts";
import type { Backend } from "./backend.ts";
import { type Able, createCandidates, type Refused } from "./candidates.ts";
import { type Fields, fieldsOf } from "./fields.ts";
import type { ConversionPort } from "./formats.ts";
import { usable } from "./health.ts";
import { createModelLists } from "./model-lists.ts";
import { createOptionLists } from "./options.ts";
import { inOrder, residentFirst } from "./order.ts";
import { type Choice, createPlacement, type Shortage } from "./placement.ts";
import { named, type Offer, type Service, servicesOf } from "./services.ts";

/** What every request for a capability may say beside the capability's own fields. */
export const requestSchema = t.Object({
  backend: t.Optional(
    t.String({ description: "A name of GET /backends; the gateway chooses when absent." }),
  ),
  priority: t.Optional(
    t.Integer({ minimum: 0, maximum: 9, description: "9 goes first; 5 when absent." }),
  ),
  start_by: t.Optional(
    t.String({
      format: "date-time",
      description: "Fail with QUEUE_TIMEOUT when not begun by then; ISO 8601.",
    }),
  ),
  timeout_ms: t.Optional(
    t.Integer({ minimum: 1, description: "Longest run of one attempt; it is not repeated." }),
  ),
  tag: t.Optional(t.String({ minLength: 1, maxLength: 128, description: "For your own filters." })),
  stream: t.Optional(
    t.Boolean({ description: "Answer with the job's events; going away cancels the job." }),
  ),
});

export type RequestFields = Static<typeof requestSchema>;

export interface Resolved {
  readonly input: Record<string, unknown>;
  readonly fields: RequestFields;
  readonly model?: string;
  /**
   * The backends that may do it: the named one; or the first that can, and after it all with its
   * plugin that can do the same.
   */
  readonly choices: readonly [Choice, ...Choice[]];
}

/** Work that was resolved before. */
export interface KnownWork {
  readonly kind: string;
  /** The name of its backend. */
  readonly backend: string;
  readonly input: Record<string, unknown>;
  /** Whether other backends may do it. */
  readonly isOpen: boolean;
}

export interface Catalogue {
  readonly services: readonly Service[];
  /** Throws the GatewayError that the client gets. */
  resolve(service: Service, body: unknown, principal: Principal): Promise<Resolved>;
  /** What its field `options` may hold as the server says now; undefined when nobody can tell. */
  options(offer: Offer): Promise<TProperties | undefined>;
  readonly conversion: ConversionPort;
  /** Who may do it now, its own backend first; empty when that does not offer it any more. */
  choicesOf(work: KnownWork): Choice[];
}

export interface CatalogueOptions {
  readonly backends: readonly Backend[];
  /** Undefined, or why the demand can never be met. */
  readonly shortage: (backend: string, demand: VramCost) => Shortage | undefined;
  readonly monotonicMs: () => number;
  /** A request met a backend that is down: have it looked at again. */
  readonly recheck: (backend: Backend) => void;
  /** Whether the model is on the backend's device now; nothing is unless said. */
  readonly isResident?: (backend: string, model: string) => boolean;
  /** What becomes of formats that a server does not make; nothing unless said. */
  readonly conversion?: ConversionPort;
}

type Verdict =
  | { readonly kind: "yes" | "unsure" }
  | { readonly kind: "no"; readonly error: unknown; readonly about: "model" | "options" };

const DOWN_RETRY_MS = 5_000;
const NO_CONVERSION: ConversionPort = { missing: () => "this gateway converts nothing" };
const COMMON = Object.keys(requestSchema.properties);

export function createCatalogue(options: CatalogueOptions): Catalogue {
  const { backends, shortage, recheck, monotonicMs, isResident = () => false } = options;
  const { conversion = NO_CONVERSION } = options;
  const checkRequest = createCheck(requestSchema);
  const lists = createModelLists(monotonicMs);
  const optionLists = createOptionLists(monotonicMs);
  const services = servicesOf(backends);
  const byKind = new Map(services.map((service) => [service.kind, service]));
  const fields = new Map(services.map((service) => [service, fieldsOf(service, COMMON)]));
  const fieldsOfService = (service: Service): Fields =>
    fields.get(service) ?? fieldsOf(service, COMMON);
  const placement = createPlacement({
    shortage,
    lists,
    options: optionLists,
    fieldsOf: fieldsOfService,
  });
  const candidates = createCandidates({ shortage, conversion });

  /** Those whose fields fit, in the order in which they are tried; throws when there is none. */
  async function offersFor(
    service: Service,
    body: Readonly<Record<string, unknown>>,
    backend: string | undefined,
  ): Promise<Offer[]> {
    const known = fieldsOfService(service);
    const strange = known.strange(body);
    const slips = strange.flatMap((name) => known.slip(name, body) ?? []);
    if (slips.length > 0) throw invalid(slips);
    if (strange.length > 0) {
      const misplaced = await optionLists.misplaced(service.offers, strange);
      if (misplaced.length > 0) throw invalid(misplaced);
    }
    const wanted = known.wanted(body);
    if (backend !== undefined) {
      const offer = named(service, backend);
      const refusal = known.refusal(offer, wanted);
      if (refusal) throw refusal;
      return [offer];
    }
    const fitting = service.offers.filter((offer) => !known.refusal(offer, wanted));
    if (fitting.length === 0 && wanted.length > 0) throw known.refusalOfAll(wanted);
    if (fitting.length === 0) {
      throw new GatewayError("NOT_FOUND", `No backend offers ${service.kind}`);
    }
    return inOrder(fitting);
  }

  /** Whether a server has what its plugin accepts: the model, the options. */
  async function verdictThere(
    { offer, input, options }: Able,
    asksModel: boolean,
  ): Promise<Verdict> {
    const { model } = input;
    try {
      const unknown =
        asksModel && typeof model === "string" && (await lists.refusal(offer.backend, model));
      if (unknown) return { kind: "no", error: unknown, about: "model" };
      const errors = await optionLists.check(offer, options);
      if (errors === undefined) return { kind: "unsure" };
      return errors.length > 0
        ? { kind: "no", error: invalid(errors), about: "options" }
        : { kind: "yes" };
    } catch (error) {
      return { kind: "no", error, about: "model" };
    }
  }

  /** The first that can do it; throws the reason that helps most when none can. */
  async function firstOf(weighed: readonly (Able | Refused)[]): Promise<Able> {
    const refusals: unknown[] = [];
    const found: { down?: Able; listless?: Able; unsure?: Able } = {};
    let haveAllTold = false;
    let areOptionsWrong = false;
    for (const candidate of weighed) {
      if (candidate.kind === "refused") {
        refusals.push(candidate.error);
        continue;
      }
      const { backend, input } = candidate;
      const model = typeof input.model === "string" ? input.model : undefined;
      const isKnown = () => model === undefined || lists.knows(backend, model);
      const { status, retryAtMs } = backend.state;
      if (status === "down" || retryAtMs !== undefined) {
        if (status === "down") recheck(backend);
        // It may be the one, as far as anybody knows.
        if (refusals.length > 0 && !isKnown()) continue;
        found.down ??= candidate;
        if (!backend.settings.queueWhenDown) continue;
      }
      if (usable(status)) {
        if (haveAllTold && !isKnown()) continue;
        const verdict = await verdictThere(candidate, !haveAllTold);
        if (verdict.kind === "no") {
          refusals.push(verdict.error);
          areOptionsWrong ||= verdict.about === "options";
          // The others are asked at once, so that those that hang do not add up.
          if (model !== undefined && !haveAllTold) await lists.ask(weighed.map(backendOf));
          haveAllTold ||= model !== undefined;
          continue;
        }
        if (verdict.kind === "unsure") {
          found.unsure ??= candidate;
          continue;
        }
      }
      if (model === undefined || !mayLack(backend)) return candidate;
      found.listless ??= candidate;
    }
    if (found.listless) return found.listless;
    // Where a server knew better, one that cannot be asked is no way around it.
    if (found.unsure && !areOptionsWrong) return found.unsure;
    if (found.down && !areOptionsWrong) refuseDown(found.down.backend);
    throw refusals[0];
  }

  function isLoaded(candidate: Able | Refused): boolean {
    const demand = candidate.kind === "able" ? candidate.demand : undefined;
    return demand !== undefined && isResident(candidate.offer.backend.name, demand.model);
  }

  return {
    services,
    conversion,
    options: optionLists.declared,
    async resolve(service, body, principal) {
      if (typeof body !== "object" || body === null || Array.isArray(body)) {
        throw invalid([{ field: "", message: "expected a JSON object" }]);
      }
      const common = checkRequest(requestPart(body));
      const backend = common.ok ? common.value.backend : undefined;
      const asked = { kind: service.kind, body, principal, common };
      const offers = await offersFor(service, { ...body }, backend);
      const weighed = offers.map((offer) => candidates.weigh(offer, asked));
      const first = await firstOf(residentFirst(weighed, isLoaded));
      if (!common.ok) throw invalid(common.errors);
      const { input, demand } = first;
      const choice: Choice = { backend: first.backend, demand };
      const others = backend === undefined ? placement.others(service, choice, input) : [];
      const model = typeof input.model === "string" ? input.model : undefined;
      return {
        input,
        fields: common.value,
        model: demand?.model ?? model,
        choices: [choice, ...others],
      };
    },
    choicesOf({ kind, backend: name, input, isOpen }) {
      const service = byKind.get(kind);
      const backend = service?.offers.find((offer) => offer.backend.name === name)?.backend;
      if (!service || !backend) return [];
      const first = { backend, demand: backend.run(() => backend.demand(kind, input)) };
      return isOpen ? [first, ...placement.others(service, first, input)] : [first];
    },
  };
}

const backendOf = ({ offer }: Able | Refused): Backend => offer.backend;

/** Any name will do where the plugin has no list; one that is known to have it goes before. */
const mayLack = ({ plugin }: Backend): boolean => plugin?.models === undefined;

function refuseDown({ title, state }: Backend): never {
  const { reason = "no answer yet", retryAtMs } = state;
  const isHeld = retryAtMs !== undefined;
  const message = isHeld ? `${title} gets no jobs now` : `${title} service is not responding`;
  throw new GatewayError("SERVICE_UNAVAILABLE", message, {
    retryAfterMs: DOWN_RETRY_MS,
    details: { reason, ...(isHeld ? { retry_at: new Date(retryAtMs).toISOString() } : {}) },
  });
}

/** The part of a body that every request may have, whatever the capability. */
function requestPart(body: object): Record<string, unknown> {
  const part: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(body)) {
    if (Object.hasOwn(requestSchema.properties, name)) part[name] = value;
  }
  return part;
}
