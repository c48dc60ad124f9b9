/**
 * Fills the places of a template. It works on the parsed tree, so nothing in a value can end a
 * string, add a field or open another place.
 */
import { isRecord } from "./fields.ts";
import type { Template, Values } from "./types.ts";

const WHOLE = /^\{\{([^{}]+)\}\}$/;
const PLACE = /\{\{([^{}]+)\}\}/g;

/** The template with its places filled; undefined when it is one place without a value. */
export function fill(template: Template, values: Values): unknown {
  if (typeof template === "string") return fillText(template, values);
  if (typeof template !== "object" || template === null) return template;
  if (isList(template)) {
    return template.map((part) => fill(part, values)).filter((part) => part !== undefined);
  }
  const filled = Object.entries(template).flatMap(([name, part]) => {
    const value = fill(part, values);
    return value === undefined ? [] : [[name, value] as const];
  });
  return Object.fromEntries(filled);
}

/** Names that the templates use: `{{options.cfg}}` uses `options`. */
export function namesIn(template: unknown): string[] {
  if (typeof template === "string") {
    return [...template.matchAll(PLACE)].flatMap(([, inside = ""]) =>
      inside.split("|").flatMap((part) => {
        const name = part.trim();
        return literal(name) === undefined ? [name.split(".")[0] ?? name] : [];
      }),
    );
  }
  if (Array.isArray(template)) return template.flatMap(namesIn);
  return isRecord(template) ? Object.values(template).flatMap(namesIn) : [];
}

/** `Array.isArray` does not know readonly lists. */
function isList(template: Template): template is readonly Template[] {
  return Array.isArray(template);
}

function fillText(text: string, values: Values): unknown {
  const whole = WHOLE.exec(text)?.[1];
  if (whole !== undefined) return filling(whole, values);
  return text.replace(PLACE, (_place, inside: string) => asText(filling(inside, values)));
}

/** The first of `a|b|"literal"` that is there. */
function filling(inside: string, values: Values): unknown {
  for (const part of inside.split("|")) {
    const name = part.trim();
    const fixed = literal(name);
    const value = fixed === undefined ? lookUp(name, values) : fixed;
    if (value !== undefined) return value;
  }
  return undefined;
}

function lookUp(name: string, values: Values): unknown {
  let value: unknown = values;
  for (const part of name.split(".")) {
    if (!isRecord(value) || !Object.hasOwn(value, part)) return undefined;
    value = value[part];
  }
  return value;
}

/** A number, true, false or a quoted text; undefined for a name. */
function literal(part: string): string | number | boolean | undefined {
  if (!/^(-?\d|"|true$|false$)/.test(part)) return undefined;
  try {
    const value: unknown = JSON.parse(part);
    const plain = ["string", "number", "boolean"].includes(typeof value);
    return plain ? (value as string | number | boolean) : undefined;
  } catch {
    return undefined;
  }
}

export function asText(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
