/** Finds places in JSON answers by paths such as `$.task.id` or `$.files[0].url`. */

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What stands at `path`; undefined when nothing does. `[*]` is every element of a list. */
export function at(answer: unknown, path: string): unknown {
  const parts = path.replace(/^\$\.?/, "").match(/[^.[\]]+/g) ?? [];
  return walk(answer, parts);
}

function walk(value: unknown, [part, ...rest]: readonly string[]): unknown {
  if (part === undefined) return value;
  if (Array.isArray(value)) {
    if (part === "*") return value.map((element) => walk(element, rest));
    return walk(value[Number(part)], rest);
  }
  return isRecord(value) && Object.hasOwn(value, part) ? walk(value[part], rest) : undefined;
}

/** Short facts for the client, by name; what is missing or no plain value is left out. */
export function factsOf(
  answer: unknown,
  paths: Readonly<Record<string, string>> = {},
): Record<string, string | number | boolean> {
  const facts: Record<string, string | number | boolean> = {};
  for (const [name, path] of Object.entries(paths)) {
    const value = at(answer, path);
    if (typeof value === "number" || typeof value === "boolean") facts[name] = value;
    if (typeof value === "string") facts[name] = value.slice(0, MAX_FACT);
  }
  return facts;
}

/** Characters of a text among the facts. */
const MAX_FACT = 20_000;
