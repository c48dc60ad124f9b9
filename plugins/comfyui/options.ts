/** What `options` may hold: the parameters of all workflows that have no field of their own. */
import { t } from "switchyard/sdk";
import { FIELDS } from "./fields.ts";
import { type LibrarySettings, libraryOf } from "./library.ts";
import type { Parameter } from "./workflow.ts";

type Properties = ReturnType<typeof t.Object>["properties"];

/** A name that several workflows have takes what one of them takes; the request's own decides. */
export function optionsOf(settings: LibrarySettings): Properties {
  const found = new Map<string, ReturnType<typeof schemaOf>[]>();
  for (const { name: workflow, params } of libraryOf(settings).workflows.values()) {
    for (const [name, parameter] of Object.entries(params)) {
      if (FIELDS.some((field) => field === name)) continue;
      found.set(name, [...(found.get(name) ?? []), schemaOf(parameter, workflow)]);
    }
  }
  return Object.fromEntries(
    [...found].map(([name, schemas]) => [name, t.Optional(t.Union(schemas))]),
  );
}

function schemaOf({ type, min, max, options, description }: Parameter, workflow: string) {
  const words = `${description ?? ""} (${workflow})`.trim();
  if (options)
    return t.Union(
      options.map((value) => t.Literal(value)),
      { description: words },
    );
  const limits = { minimum: min, maximum: max, description: words };
  switch (type) {
    case "integer":
      return t.Integer(limits);
    case "number":
      return t.Number(limits);
    case "boolean":
      return t.Boolean({ description: words });
    default:
      return t.String({ description: words });
  }
}
