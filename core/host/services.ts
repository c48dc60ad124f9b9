/** Kinds of work, who does them, and which fields of a request each of them has a use for. */
import { KindGuard, type TObject, type TSchema } from "@sinclair/typebox";
import { nearest } from "../sdk/mod.ts";
import type { AnyCapability } from "../sdk/plugin.ts";
import { invalid } from "../validation.ts";
import type { Backend } from "./backend.ts";

export interface Offer {
  readonly backend: Backend;
  readonly capability: AnyCapability;
  /** The fields of its input that this backend has a use for. */
  readonly takes: ReadonlySet<string>;
}

/** One kind of work on one route, with everybody who does it. */
export interface Service {
  readonly kind: string;
  readonly route: string;
  /** In the order in which they are tried: as configured, fallbacks last. */
  readonly offers: readonly Offer[];
}

const MAX_NAME_LENGTH = 64;

export function servicesOf(backends: readonly Backend[]): Service[] {
  const services = new Map<string, Service & { offers: Offer[] }>();
  for (const backend of backends) {
    for (const [kind, capability] of offered(backend)) {
      const service = services.get(kind) ?? { kind, route: capability.route, offers: [] };
      service.offers.push({ backend, capability, takes: taken(backend, capability) });
      services.set(kind, service);
    }
  }
  for (const { offers } of services.values()) {
    offers.sort((a, b) => Number(isFallback(a)) - Number(isFallback(b)));
  }
  return [...services.values()];
}

/** The capabilities that a backend has with its settings; throws what its plugin throws. */
export function offered(backend: Backend): [string, AnyCapability][] {
  const { plugin } = backend;
  if (!plugin) return [];
  const all: [string, AnyCapability][] = Object.entries(plugin.capabilities);
  const names = backend.run(() => plugin.offers?.(backend.context("").config));
  return names ? all.filter(([kind]) => names.includes(kind)) : all;
}

/** Why a plugin's word on what it offers cannot be used; undefined when it can. */
export function offersProblem(backend: Backend): string | undefined {
  try {
    for (const [, capability] of offered(backend)) taken(backend, capability);
    return undefined;
  } catch (error) {
    return `it cannot say what it offers: ${error instanceof Error ? error.message : error}`;
  }
}

export function named({ kind, offers }: Service, wanted: string): Offer {
  const offer = offers.find(({ backend }) => backend.name === wanted);
  if (offer) return offer;
  const names = offers.map(({ backend }) => backend.name);
  const shown = wanted.slice(0, MAX_NAME_LENGTH);
  const guess = nearest(shown, names);
  const hint = guess ? `did you mean "${guess}"?` : `there is ${names.join(", ")}`;
  const message = `no backend "${shown}" offers ${kind}; ${hint}`;
  throw invalid([{ field: "/backend", message }]);
}

/** Whether anything says what may stand in the field `options`. */
export function describesOptions({ input, options }: AnyCapability): boolean {
  const schema: TSchema | undefined = (input as TObject).properties.options;
  if (!schema) return false;
  // The shared schema says nothing but that it is an object.
  return options !== undefined || !(KindGuard.IsRecord(schema) && isOpenRecord(schema));
}

export const isFallback = ({ backend }: Offer): boolean => backend.plugin?.fallback === true;

function taken(backend: Backend, capability: AnyCapability): ReadonlySet<string> {
  const names = new Set(Object.keys((capability.input as TObject).properties));
  if (!describesOptions(capability)) names.delete("options");
  const wanted = backend.run(() => capability.takes?.(backend.context("").config));
  return wanted ? new Set(wanted.filter((name) => names.has(name))) : names;
}

function isOpenRecord(schema: TSchema): boolean {
  const patterns: Record<string, TSchema> = schema.patternProperties ?? {};
  return Object.values(patterns).every(KindGuard.IsUnknown);
}

/** Whether the server behind the URL has it; yes where its plugin cannot tell. */
export function isOffered({ backend }: Offer, kind: string): boolean {
  return backend.state.offers?.includes(kind) ?? true;
}
