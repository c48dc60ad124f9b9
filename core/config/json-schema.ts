/**
 * The schema of `gateway.yaml` for editors: completion, descriptions and red lines while typing.
 * It differs from the kernel's own in two ways: what has a default may be left out, and every value
 * may be written as `${NAME}`.
 */
import { type TProperties, Type as t } from "@sinclair/typebox";
import { BackendSchema, GatewaySchema } from "./schema.ts";
import type { Shape } from "./shape.ts";

export interface PluginSettings {
  readonly name: string;
  readonly summary: string;
  readonly config: TProperties;
}

type Json = Record<string, unknown>;

const VARIABLE: Json = { type: "string", pattern: "\\$\\{" };

/** `plugins` in any order: the text is the same for the same settings. */
export function jsonSchema(plugins: readonly PluginSettings[]): string {
  const sorted = [...plugins].sort((one, other) => (one.name < other.name ? -1 : 1));
  const names = sorted.map(({ name, summary }) => `${name} (${summary})`).join(", ");
  const { use, ...kernelProperties } = BackendSchema.properties;
  const described = { ...use, description: `${use.description} Built in: ${names}.` };
  const entry = {
    ...forEditor({ ...BackendSchema, properties: { use: described, ...kernelProperties } }),
    allOf: sorted.map(ownSettings),
  };
  const { backends, ...sections } = GatewaySchema.properties;
  const [namePattern = ""] = Object.keys(backends.patternProperties);
  const { properties, ...whole } = forEditor({ ...GatewaySchema, properties: sections });
  const schema = {
    $schema: "http://json-schema.org/draft-07/schema#",
    ...whole,
    properties: {
      ...(isJson(properties) ? properties : {}),
      backends: { ...forEditor(backends), patternProperties: { [namePattern]: entry } },
    },
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

/** With a built-in plugin, only its own settings and the kernel's are keys. */
function ownSettings({ name, config }: PluginSettings): Json {
  const { properties, ...own } = forEditor(t.Object(config, { additionalProperties: false }));
  const kernelKeys = Object.keys(BackendSchema.properties).map((key) => [key, true]);
  return {
    if: { properties: { use: { const: name } }, required: ["use"] },
    // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema.
    then: {
      ...own,
      properties: { ...(isJson(properties) ? properties : {}), ...Object.fromEntries(kernelKeys) },
    },
  };
}

function forEditor(shape: Shape): Json {
  const { unit, secret, names, required, properties, patternProperties, items, ...rest } = shape;
  const result: Json = { ...rest };
  const description = [shape.description, unit && `Unit: ${unit}.`].filter(Boolean).join(" ");
  if (description) result.description = description;
  if (properties) {
    result.properties = mapValues(properties, forEditor);
    const needed = (required ?? []).filter((name) => {
      const property = properties[name];
      return property && property.default === undefined && property.type !== "object";
    });
    if (needed.length > 0) result.required = needed;
  }
  if (patternProperties) {
    result.patternProperties = mapValues(patternProperties, forEditor);
    result.additionalProperties = false;
  }
  // A section whose lines are all comments is null to YAML; the kernel takes it as empty.
  if (shape.type === "object") result.type = ["object", "null"];
  if (items && !("length" in items)) result.items = forEditor(items);
  return shape.type === "object" || shape.type === "array" ? result : orVariable(shape, result);
}

/** Text without further demands already allows a variable. */
function orVariable(shape: Shape, result: Json): Json {
  const isPlainText = shape.type === "string" && !shape.pattern && !shape.maxLength;
  if (isPlainText || (!shape.type && !shape.anyOf)) return result;
  const { description, default: byDefault, ...own } = result;
  return {
    ...(description !== undefined && { description }),
    ...(byDefault !== undefined && { default: byDefault }),
    anyOf: [own, VARIABLE],
  };
}

const mapValues = <In, Out>(record: Readonly<Record<string, In>>, change: (value: In) => Out) =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));

const isJson = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
