/**
 * The fields of a request: which of them decide who can serve it, and what to say when nobody can.
 * A field that only other backends know must not be dropped in silence: song without its lyrics.
 */
import type { TObject, TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { GatewayError } from "../errors.ts";
import { OF_KIND } from "../sdk/inputs.ts";
import { nearest } from "../sdk/nearest.ts";
import { type FieldError, invalid } from "../validation.ts";
import type { Offer, Service } from "./services.ts";

export interface Fields {
  /** Names that are known, with a value that asks for something. */
  wanted(body: Readonly<Record<string, unknown>>): string[];
  /** Names that nobody knows; a few of them, since they are looked at one by one. */
  strange(body: Readonly<Record<string, unknown>>): string[];
  /** What such a name was probably meant to be. */
  slip(name: string, body: Readonly<Record<string, unknown>>): FieldError | undefined;
  /** Why this backend cannot serve them; undefined when it can. */
  refusal(offer: Offer, wanted: readonly string[]): GatewayError | undefined;
  /** Why none of the backends can. */
  refusalOfAll(wanted: readonly string[]): GatewayError;
}

/** Longer names are no slips; more of them are no request. */
const MAX_LENGTH = 64;
const MAX_STRANGE = 50;

/** `common`: the names that every request may have. */
export function fieldsOf(service: Service, common: readonly string[]): Fields {
  const { kind, offers } = service;
  /** The default of each field, in every schema that has one. */
  const known = new Map<string, unknown[]>();
  const schemas: readonly TObject[] = [
    ...(OF_KIND[kind] ? [OF_KIND[kind]] : []),
    ...offers.map(({ capability }) => capability.input as TObject),
  ];
  for (const { properties } of schemas) {
    for (const [name, { default: usual }] of Object.entries<TSchema>(properties)) {
      known.set(name, [...(known.get(name) ?? []), usual]);
    }
  }
  for (const name of common) known.delete(name);
  const takers = (name: string) => offers.filter(({ takes }) => takes.has(name));

  return {
    wanted: (body) =>
      Object.keys(body).filter((name) => {
        const defaults = known.get(name);
        return defaults !== undefined && asks(body[name], defaults);
      }),

    strange: (body) =>
      Object.keys(body)
        .filter((name) => !known.has(name) && !common.includes(name) && name.length <= MAX_LENGTH)
        .slice(0, MAX_STRANGE),

    slip(name, body) {
      // A field that is there already is not what another one was meant to be.
      const absent = [...known.keys(), ...common].filter((other) => !Object.hasOwn(body, other));
      const guess = nearest(name, absent);
      if (guess === undefined) return undefined;
      return { field: `/${name}`, message: `is no field of ${kind}; did you mean ${guess}?` };
    },

    refusal({ backend, takes }, wanted) {
      const lacking = wanted.filter((name) => !takes.has(name));
      if (lacking.length === 0) return undefined;
      return invalid(
        lacking.map((name) => {
          const others = takers(name);
          const rest =
            others.length === 0
              ? "nor does any other backend here"
              : `${inWords(others)} ${others.length === 1 ? "does" : "do"}`;
          const comma = others.length === 0 ? "," : ";";
          return {
            field: `/${name}`,
            message: `${backend.title} does not take ${name}${comma} ${rest}`,
          };
        }),
      );
    },

    refusalOfAll(wanted) {
      const alone = wanted.filter((name) => takers(name).length === 0);
      if (alone.length > 0) {
        return invalid(
          alone.map((name) => ({
            field: `/${name}`,
            message: `no backend here that offers ${kind} takes ${name}; leave it out`,
          })),
        );
      }
      const partial = wanted.filter((name) => takers(name).length < offers.length);
      const who = partial.map((name) => `${name}: ${inWords(takers(name))}`).join("; ");
      const message = `no backend here takes ${partial.join(", ")} together (${who})`;
      return invalid(partial.map((name) => ({ field: `/${name}`, message })));
    },
  };
}

/** "YuE (yue), Wan2GP (wan) and DiffRhythm (diffrhythm)" */
export function inWords(offers: readonly Offer[]): string {
  const names = offers.map(({ backend: { title, name } }) => `${title} (${name})`);
  const last = names.pop() ?? "";
  return names.length === 0 ? last : `${names.join(", ")} and ${last}`;
}

/**
 * Clients that were generated send every field: null, the default, and an empty object ask for
 * nothing.
 */
function asks(value: unknown, defaults: readonly unknown[]): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value === "object" && !Array.isArray(value) && Object.keys(value).length === 0) {
    return false;
  }
  return !defaults.some((usual) => usual !== undefined && Value.Equal(usual, value));
}
