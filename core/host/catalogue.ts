/**
 * What the configured backends offer together: which backend serves a request, and whether the
 * request can be served at all. Everything that is refused here is refused before a job exists.
 */
import { type Static, Type as t } from "@sinclair/typebox";
import type { Principal } from "../auth/principal.ts";
import type { Scope } from "../auth/scopes.ts";
import { GatewayError } from "../errors.ts";
import { nearest } from "../sdk/mod.ts";
import type { AnyCapability, VramCost } from "../sdk/plugin.ts";
import { type Check, createCheck, invalid } from "../validation.ts";
import type { Backend } from "./backend.ts";
import { usable } from "./health.ts";
import { createModelLists } from "./model-lists.ts";
import { type Choice, createPlacement, type Shortage, twinsOf } from "./placement.ts";
import { choose, type Service, servicesOf } from "./services.ts";

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
  /** The backends that may do it: the named one, or all that can, the first of them first. */
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
}

const DOWN_RETRY_MS = 5_000;

export function createCatalogue(options: CatalogueOptions): Catalogue {
  const { backends, shortage, recheck } = options;
  const checks = new Map<AnyCapability, Check<Record<string, unknown>>>();
  const checkRequest = createCheck(requestSchema);
  const lists = createModelLists(options.monotonicMs);
  const placement = createPlacement({ shortage, lists });
  const services = servicesOf(backends);
  const byKind = new Map(services.map((service) => [service.kind, service]));

  function checkOf(capability: AnyCapability): Check<Record<string, unknown>> {
    const known = checks.get(capability) ?? createCheck(capability.input);
    checks.set(capability, known);
    return known;
  }

  function refuseDown({ title, state }: Backend): never {
    const message = `${title} service is not responding`;
    throw new GatewayError("SERVICE_UNAVAILABLE", message, {
      retryAfterMs: DOWN_RETRY_MS,
      details: { reason: state.reason ?? "no answer yet" },
    });
  }

  /** Why the request cannot be served there, as far as the backend's models tell. */
  async function unknownModel(backend: Backend, model: string): Promise<GatewayError | undefined> {
    const isKnown = (models: readonly { name: string }[] | undefined) =>
      !models || models.some(({ name }) => name === model);
    if (isKnown(await backend.models())) return undefined;
    const models = (await backend.models(true)) ?? [];
    if (isKnown(models)) return undefined;
    const names = models.map(({ name }) => name);
    const guess = nearest(model, names);
    const hint = guess ? `did you mean "${guess}"?` : `it has ${names.slice(0, 20).join(", ")}`;
    const message = `${backend.title} has no model "${model}"; ${hint}`;
    return invalid([{ field: "/model", message }]);
  }

  /** Throws what can be said without asking anybody. */
  function check(service: Service, body: unknown, { keyId, scopes }: Principal) {
    if (typeof body !== "object" || body === null || Array.isArray(body)) {
      throw invalid([{ field: "", message: "expected a JSON object" }]);
    }
    const asked = checkRequest(requestPart(body));
    const { backend, capability } = choose(service, asked.ok ? asked.value.backend : undefined);
    if (!backend.plugin) refuseDown(backend);
    const checked = checkOf(capability)(body);
    if (!asked.ok || !checked.ok) {
      throw invalid([asked, checked].flatMap((check) => (check.ok ? [] : check.errors)));
    }
    const input = checked.value;
    for (const [field, scope] of Object.entries(capability.restricted ?? {})) {
      if (input[field] === undefined || scopes.has(scope as Scope)) continue;
      throw new GatewayError("FORBIDDEN_SCOPE", `The field "${field}" needs the scope ${scope}`);
    }
    const { config } = backend.context(keyId);
    const refusal = backend.run(() => capability.check?.(input, config));
    if (refusal) throw invalid([{ field: "", message: refusal }]);
    const demand = backend.run(() => backend.demand(service.kind, input));
    return { first: { backend, demand }, input, fields: asked.value };
  }

  return {
    services,
    async resolve(service, body, principal) {
      const { first, input, fields } = check(service, body, principal);
      const { backend, demand } = first;
      const model = typeof input.model === "string" ? input.model : undefined;
      const isOpen = fields.backend === undefined;
      let others = isOpen ? placement.others(service, first, input) : [];
      const resolvedAs = (...choices: readonly [Choice, ...Choice[]]): Resolved => {
        return { input, fields, model: choices[0].demand?.model ?? model, choices };
      };

      /** The first choice cannot do it; the others are asked, once, before that is the answer. */
      async function elsewhere(refusal: GatewayError): Promise<Resolved> {
        if (!isOpen) throw refusal;
        if (others.length === 0 && model !== undefined) {
          await lists.ask(twinsOf(service, backend).map((offer) => offer.backend));
          others = placement.others(service, first, input);
        }
        const [next, ...rest] = others;
        if (!next) throw refusal;
        return resolvedAs(next, ...rest);
      }

      const short = demand && shortage(backend.name, demand);
      if (short) return elsewhere(infeasible(short));
      if (backend.state.status === "down") {
        recheck(backend);
        if (!backend.settings.queueWhenDown) refuseDown(backend);
      }
      if (model !== undefined && usable(backend.state.status)) {
        const refusal = await unknownModel(backend, model);
        if (refusal) return elsewhere(refusal);
      }
      return resolvedAs(first, ...others);
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

function infeasible(short: Shortage): GatewayError {
  const message =
    `${short.neededMiB} MiB are needed and ${short.device} has ${short.availableMiB} MiB: ` +
    `${short.neededMiB - short.availableMiB} MiB too much`;
  const { device, neededMiB, availableMiB } = short;
  const details = { device, needed_mib: neededMiB, available_mib: availableMiB };
  return new GatewayError("INFEASIBLE_VRAM", message, { details });
}

/** The part of a body that every request may have, whatever the capability. */
function requestPart(body: object): Record<string, unknown> {
  const part: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(body)) {
    if (Object.hasOwn(requestSchema.properties, name)) part[name] = value;
  }
  return part;
}
