/** Settings as they may be shown: whatever the schema marks as secret is masked. */
import { type TProperties, Type as t } from "@sinclair/typebox";
import { type GatewayConfig, GatewaySchema } from "./schema.ts";
import type { Shape } from "./shape.ts";

const MASK = "[hidden]";

/** The kernel's settings for a log line or an operator's page. */
export function describeConfig(config: GatewayConfig): unknown {
  return masked(GatewaySchema, config);
}

/** A plugin's own settings; it marks a secret with `t.String({ secret: true })`. */
export function describeSettings(ownSchema: TProperties, settings: unknown): unknown {
  return masked(t.Object(ownSchema), settings);
}

function masked(shape: Shape, value: unknown): unknown {
  if (shape.secret) return value === undefined ? undefined : MASK;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const items = shape.items;
    const itemShape: Shape = items && !("length" in items) ? items : {};
    return value.map((item) => masked(itemShape, item));
  }
  const [entryShape = {}] = Object.values(shape.patternProperties ?? {});
  const entries = Object.entries(value).map(([key, child]) => [
    key,
    masked(shape.properties?.[key] ?? entryShape, child),
  ]);
  return Object.fromEntries(entries);
}
