/**
 * One backend held against one request: what its plugin makes of the request, or why it cannot
 * serve it. Nothing here asks a server.
 */
import type { Static, TSchema } from "@sinclair/typebox";
import type { Principal } from "../auth/principal.ts";
import type { Scope } from "../auth/scopes.ts";
import { GatewayError } from "../errors.ts";
import type { AnyCapability, VramCost } from "../sdk/plugin.ts";
import { type Check, type Checked, createCheck, invalid } from "../validation.ts";
import { type ConversionPort, formatProblem } from "./formats.ts";
import type { Choice, Shortage } from "./placement.ts";
import { isOffered, type Offer } from "./services.ts";

export interface Able extends Choice {
  readonly kind: "able";
  readonly offer: Offer;
  readonly input: Record<string, unknown>;
  /** As they were sent: the plugin's schema may have dropped those that it does not know. */
  readonly options: unknown;
}

export interface Refused {
  readonly kind: "refused";
  readonly offer: Offer;
  readonly error: unknown;
}

export interface Asked<Schema extends TSchema> {
  readonly kind: string;
  readonly body: object;
  readonly principal: Principal;
  /** The part that every request may have, checked. */
  readonly common: Checked<Static<Schema>>;
}

export interface Candidates {
  weigh(offer: Offer, asked: Asked<TSchema>): Able | Refused;
}

export interface CandidatesOptions {
  readonly shortage: (backend: string, demand: VramCost) => Shortage | undefined;
  readonly conversion: ConversionPort;
}

export function createCandidates({ shortage, conversion }: CandidatesOptions): Candidates {
  const checks = new Map<AnyCapability, Check<Record<string, unknown>>>();

  function checkOf(capability: AnyCapability): Check<Record<string, unknown>> {
    const known = checks.get(capability) ?? createCheck(capability.input);
    checks.set(capability, known);
    return known;
  }

  function able(offer: Offer, { kind, body, principal, common }: Asked<TSchema>): Able {
    const { backend, capability, takes } = offer;
    if (!isOffered(offer, kind)) {
      const { version = "another server" } = backend.state;
      const message = `${backend.title} (${backend.name}) has no ${kind}: ${version} answers there`;
      throw invalid([{ field: "/backend", message }]);
    }
    // What it has no use for, and asks for nothing, does not reach the plugin.
    const taken = Object.entries(body).filter(([name]) => takes.has(name));
    // A copy: the check drops what this plugin does not know, and another one may know it.
    const checked = checkOf(capability)(structuredClone(Object.fromEntries(taken)));
    if (!common.ok || !checked.ok) {
      throw invalid([common, checked].flatMap((check) => (check.ok ? [] : check.errors)));
    }
    const input = checked.value;
    for (const [field, scope] of Object.entries(capability.restricted ?? {})) {
      if (input[field] === undefined || principal.scopes.has(scope as Scope)) continue;
      throw new GatewayError("FORBIDDEN_SCOPE", `The field "${field}" needs the scope ${scope}`);
    }
    const wrongFormat = formatProblem(offer, kind, input.format, conversion);
    if (wrongFormat) throw invalid([wrongFormat]);
    const { config } = backend.context(principal.keyId);
    const refusal = backend.run(() => capability.check?.(input, config));
    if (refusal) throw invalid([{ field: "", message: refusal }]);
    const demand = backend.run(() => backend.demand(kind, input));
    const short = demand && shortage(backend.name, demand);
    if (short) throw infeasible(short);
    const options = "options" in body ? body.options : undefined;
    return { kind: "able", offer, backend, input, demand, options };
  }

  return {
    weigh(offer, asked) {
      try {
        return able(offer, asked);
      } catch (error) {
        return { kind: "refused", offer, error };
      }
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
