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

/** What every request for a capability may say beside the capability's own fields. */
export const requestSchema = t.Object({
  backend: t.Optional(
    t.String({ description: "A name of GET /backends; the gateway chooses when absent." }),
  ),
  priority: t.Optional(
    t.Integer({ minimum: 0, maximum: 9, description: "9 goes first; 5 when absent." }),
  ),
  start_by: t.Optional(
    t.String({ format: "date-time", description: "Fail with QUEUE_TIMEOUT when not begun then." }),
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

export interface Offer {
  readonly backend: Backend;
  readonly capability: AnyCapability;
}

/** One kind of work on one route, with everybody who does it. */
export interface Service {
  readonly kind: string;
  readonly route: string;
  /** In the order in which they are tried: as configured, fallbacks last. */
  readonly offers: readonly Offer[];
}

export interface Resolved {
  readonly backend: Backend;
  readonly input: Record<string, unknown>;
  readonly fields: RequestFields;
  readonly model?: string;
  readonly demand?: VramCost;
}

export interface Catalogue {
  readonly services: readonly Service[];
  /** Throws the GatewayError that the client gets. */
  resolve(service: Service, body: unknown, principal: Principal): Promise<Resolved>;
}

export interface CatalogueOptions {
  readonly backends: readonly Backend[];
  /** Undefined, or why the demand can never be met. */
  readonly shortage: (
    backend: string,
    demand: VramCost,
  ) => { device: string; neededMiB: number; availableMiB: number } | undefined;
  /** A request met a backend that is down: have it looked at again. */
  readonly recheck: (backend: Backend) => void;
}

const DOWN_RETRY_MS = 5_000;

export function createCatalogue(options: CatalogueOptions): Catalogue {
  const { backends, shortage, recheck } = options;
  const checks = new Map<AnyCapability, Check<Record<string, unknown>>>();
  const checkRequest = createCheck(requestSchema);

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

  async function refuseUnknownModel(backend: Backend, model: string): Promise<void> {
    const isKnown = (models: readonly { name: string }[] | undefined) =>
      !models || models.some(({ name }) => name === model);
    if (isKnown(await backend.models())) return;
    const models = (await backend.models(true)) ?? [];
    if (isKnown(models)) return;
    const names = models.map(({ name }) => name);
    const guess = nearest(model, names);
    const hint = guess ? `did you mean "${guess}"?` : `it has ${names.slice(0, 20).join(", ")}`;
    const message = `${backend.title} has no model "${model}"; ${hint}`;
    throw invalid([{ field: "/model", message }]);
  }

  return {
    services: servicesOf(backends),
    async resolve(service, body, principal) {
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
      const fields = asked.value;
      const input = checked.value;
      for (const [field, scope] of Object.entries(capability.restricted ?? {})) {
        if (input[field] === undefined || principal.scopes.has(scope as Scope)) continue;
        throw new GatewayError("FORBIDDEN_SCOPE", `The field "${field}" needs the scope ${scope}`);
      }
      const { config } = backend.context(principal.keyId);
      const refusal = backend.run(() => capability.check?.(input, config));
      if (refusal) throw invalid([{ field: "", message: refusal }]);
      const demand = backend.run(() => backend.demand(service.kind, input));
      const short = demand && shortage(backend.name, demand);
      if (short) {
        const message =
          `${short.neededMiB} MiB are needed and ${short.device} has ${short.availableMiB} MiB: ` +
          `${short.neededMiB - short.availableMiB} MiB too much`;
        throw new GatewayError("INFEASIBLE_VRAM", message, { details: { ...short } });
      }
      if (backend.state.status === "down") {
        recheck(backend);
        if (!backend.settings.queueWhenDown) refuseDown(backend);
      }
      const model = typeof input.model === "string" ? input.model : undefined;
      if (model !== undefined && usable(backend.state.status)) {
        await refuseUnknownModel(backend, model);
      }
      return { backend, input, fields, model: demand?.model ?? model, demand };
    },
  };
}

/** The part of a body that every request may have, whatever the capability. */
function requestPart(body: object): Record<string, unknown> {
  const part: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(body)) {
    if (Object.hasOwn(requestSchema.properties, name)) part[name] = value;
  }
  return part;
}

function servicesOf(backends: readonly Backend[]): Service[] {
  const services = new Map<string, Service & { offers: Offer[] }>();
  for (const backend of backends) {
    for (const [kind, capability] of Object.entries(backend.plugin?.capabilities ?? {})) {
      const { route } = capability as AnyCapability;
      const service = services.get(kind) ?? { kind, route, offers: [] };
      service.offers.push({ backend, capability });
      services.set(kind, service);
    }
  }
  for (const { offers } of services.values()) {
    offers.sort((a, b) => Number(isFallback(a)) - Number(isFallback(b)));
  }
  return [...services.values()];
}

const isFallback = ({ backend }: Offer): boolean => backend.plugin?.fallback === true;

/** The named backend; else the first that works, as configured; else the first. */
function choose({ kind, offers }: Service, wanted: string | undefined): Offer {
  if (wanted !== undefined) {
    const offer = offers.find(({ backend }) => backend.name === wanted);
    if (offer) return offer;
    const names = offers.map(({ backend }) => backend.name);
    const guess = nearest(wanted, names);
    const hint = guess ? `did you mean "${guess}"?` : `there is ${names.join(", ")}`;
    const message = `no backend "${wanted}" offers ${kind}; ${hint}`;
    throw invalid([{ field: "/backend", message }]);
  }
  const offer =
    offers.find(({ backend }) => usable(backend.state.status)) ??
    offers.find(({ backend }) => backend.state.status === "starting") ??
    offers[0];
  if (!offer) throw new GatewayError("NOT_FOUND", `No backend offers ${kind}`);
  return offer;
}
