/** Kinds of work and who does them, and which of these a request goes to first. */
import { GatewayError } from "../errors.ts";
import { nearest } from "../sdk/mod.ts";
import type { AnyCapability } from "../sdk/plugin.ts";
import { invalid } from "../validation.ts";
import type { Backend } from "./backend.ts";
import { usable } from "./health.ts";

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

export function servicesOf(backends: readonly Backend[]): Service[] {
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

/** The named backend; else the first that works or can be started, as configured; else the first. */
export function choose({ kind, offers }: Service, wanted: string | undefined): Offer {
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
    offers.find(({ backend }) => backend.state.status === "stopped") ??
    offers.find(({ backend }) => backend.state.status === "starting") ??
    offers[0];
  if (!offer) throw new GatewayError("NOT_FOUND", `No backend offers ${kind}`);
  return offer;
}

const isFallback = ({ backend }: Offer): boolean => backend.plugin?.fallback === true;
