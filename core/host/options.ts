/**
 * The field `options`: knobs of one server, as that server declares them. A request is held against
 * the declaration before it waits for a GPU; when the server cannot be asked, its run will tell.
 */
import { KindGuard, type TObject, type TProperties, type TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { nearest } from "../sdk/nearest.ts";
import type { FieldError } from "../validation.ts";
import { createAnswers } from "./answers.ts";
import type { Offer } from "./services.ts";

export interface OptionLists {
  /** As declared now; undefined when the server cannot be asked or declares none. */
  declared(offer: Offer): Promise<TProperties | undefined>;
  /** What is wrong with these options there; undefined when the server cannot be asked now. */
  check(offer: Offer, options: unknown): Promise<FieldError[] | undefined>;
  /** The same by what is known already, asking nobody. */
  checkNow(offer: Offer, options: unknown): FieldError[];
  /** Those of the names that are options, written beside `options` instead of in it. */
  misplaced(offers: readonly Offer[], names: readonly string[]): Promise<FieldError[]>;
}

const FRESH_MS = 60_000;
const PAUSE_MS = 10_000;
const SHOWN_NAMES = 20;
const MAX_ERRORS = 20;
/** Longer names are no slips of the pen. */
const MAX_LENGTH = 64;

export function createOptionLists(monotonicMs: () => number): OptionLists {
  const lists = createAnswers<Offer, TProperties>({
    backendOf: ({ backend }) => backend,
    async ask({ backend, capability }, signal) {
      return propertiesOf(await capability.options?.(backend.context(""), signal));
    },
    freshMs: FRESH_MS,
    pauseMs: PAUSE_MS,
    monotonicMs,
  });

  const declaredBy = async (offer: Offer) =>
    offer.capability.options ? await lists.get(offer) : ownProperties(offer);

  return {
    declared: declaredBy,
    async check(offer, options) {
      if (!hasAny(options) || isOpen(offer)) return [];
      const declared = await declaredBy(offer);
      return declared && problems(offer, declared, options);
    },
    checkNow(offer, options) {
      if (!hasAny(options) || isOpen(offer)) return [];
      const declared = offer.capability.options ? lists.peek(offer) : ownProperties(offer);
      return declared ? problems(offer, declared, options) : [];
    },
    async misplaced(offers, names) {
      const known = await Promise.all(
        offers.map(async (offer) => [offer, await declaredBy(offer)] as const),
      );
      return names.flatMap((name) => {
        const owner = known.find(([, declared]) => declared && Object.hasOwn(declared, name))?.[0];
        const message = `is an option of ${owner?.backend.title}; send it as options.${name}`;
        return owner ? [{ field: `/${name}`, message }] : [];
      });
    },
  };
}

/** The plugin's own schema for the field, where it has one. */
function ownSchema({ capability }: Offer): TObject | undefined {
  const schema: TSchema | undefined = (capability.input as TObject).properties.options;
  return schema && KindGuard.IsObject(schema) ? schema : undefined;
}

const ownProperties = (offer: Offer): TProperties | undefined => ownSchema(offer)?.properties;

/** Its own schema takes what it does not name; the plugin looks at that itself. */
const isOpen = (offer: Offer): boolean => {
  const more = ownSchema(offer)?.additionalProperties;
  return !offer.capability.options && more !== undefined && more !== false;
};

const hasAny = (options: unknown): options is Record<string, unknown> =>
  typeof options === "object" && options !== null && Object.keys(options).length > 0;

/** A declaration comes from a server: what is no schema in it is left out. */
function propertiesOf(declared: TProperties | undefined): TProperties {
  return Object.fromEntries(
    Object.entries(declared ?? {}).filter(([, schema]) => KindGuard.IsSchema(schema)),
  );
}

function problems(
  { backend }: Offer,
  declared: TProperties,
  options: Record<string, unknown>,
): FieldError[] {
  const errors: FieldError[] = [];
  for (const [name, value] of Object.entries(options)) {
    if (errors.length >= MAX_ERRORS) break;
    const shown = name.slice(0, MAX_LENGTH);
    const field = `/options/${shown.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    const schema = Object.hasOwn(declared, name) ? declared[name] : undefined;
    if (!schema) {
      const message = `${backend.title} has no option "${shown}"; ${near(name, declared)}`;
      errors.push({ field, message });
      continue;
    }
    const wrong = firstError(schema, value);
    if (!wrong) continue;
    const range = rangeOf(schema);
    const reason = wrong.message.charAt(0).toLowerCase() + wrong.message.slice(1);
    errors.push({ field, message: range ? `expected ${range}` : reason });
  }
  return errors;
}

/** Interpreted, not compiled: no code is made of what a server says. */
function firstError(schema: TSchema, value: unknown): { readonly message: string } | undefined {
  try {
    return Value.Errors(schema, value).First();
  } catch {
    // A schema that nobody can check, such as t.Unsafe: the run will tell.
    return undefined;
  }
}

function near(name: string, declared: TProperties): string {
  const names = Object.keys(declared);
  const guess = name.length <= MAX_LENGTH ? nearest(name, names) : undefined;
  const schema = guess === undefined ? undefined : declared[guess];
  if (guess !== undefined && schema) {
    const range = rangeOf(schema);
    return `did you mean "${guess}"${range ? ` (${range})` : ""}?`;
  }
  if (names.length === 0) return "it has none";
  const more = names.length > SHOWN_NAMES ? ", … (all: GET /models)" : "";
  return `it has ${names.slice(0, SHOWN_NAMES).join(", ")}${more}`;
}

/** "a number from 0 to 10, 5 unless said"; "" when the schema does not say. */
function rangeOf(schema: TSchema): string {
  const usual =
    schema.default === undefined ? "" : `, ${JSON.stringify(schema.default)} unless said`;
  if (KindGuard.IsUnion(schema)) {
    const choices = schema.anyOf.map((option) => option.const).filter((it) => it !== undefined);
    return choices.length > 0 ? `one of ${choices.slice(0, SHOWN_NAMES).join(", ")}${usual}` : "";
  }
  const kind = WORDS[String(schema.type)];
  if (kind === undefined) return "";
  const least = schema.minimum ?? schema.exclusiveMinimum;
  const most = schema.maximum ?? schema.exclusiveMaximum;
  const limits = [
    least === undefined ? "" : ` from ${least}`,
    most === undefined ? "" : ` to ${most}`,
    schema.maxLength === undefined ? "" : ` of at most ${schema.maxLength} characters`,
  ];
  return `${kind}${limits.join("")}${usual}`;
}

const WORDS: Readonly<Record<string, string>> = {
  number: "a number",
  integer: "a whole number",
  string: "a text",
  boolean: "true or false",
};
