/** Finds JSON in what tools print around it, and looks at values whose type nobody promises. */

export type JsonObject = Readonly<Record<string, unknown>>;

const MAX_STARTS = 20;

/** The JSON of a text; ROCm's tools print warnings before and after it. */
export function jsonIn(text: string): unknown {
  const end = Math.max(text.lastIndexOf("}"), text.lastIndexOf("]")) + 1;
  let tried = 0;
  for (const start of text.matchAll(/^[ \t]*[[{]/gm)) {
    if (start.index >= end || ++tried > MAX_STARTS) break;
    try {
      return JSON.parse(text.slice(start.index, end));
    } catch {
      // "[WARN] …" begins like a list: try the next line.
    }
  }
  return undefined;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A member of an object, or undefined. */
export function member(value: unknown, ...path: readonly string[]): unknown {
  let at = value;
  for (const key of path) at = isObject(at) && Object.hasOwn(at, key) ? at[key] : undefined;
  return at;
}

export function textIn(value: unknown, ...path: readonly string[]): string | undefined {
  const found = member(value, ...path);
  return typeof found === "string" && found !== "" && found !== "N/A" ? found : undefined;
}

/** A number that is finite and not negative, also where the tool quotes it. */
export function numberIn(value: unknown, ...path: readonly string[]): number | undefined {
  const found = member(value, ...path);
  const number = typeof found === "string" && found.trim() !== "" ? Number(found) : found;
  return typeof number === "number" && Number.isFinite(number) && number >= 0 ? number : undefined;
}
