/** GET /backends: who is configured, how each is, and what it offers. */
import { Type as t } from "@sinclair/typebox";
import { type Route, route } from "../http/route.ts";
import type { AnyCapability, AnyPlugin } from "../sdk/plugin.ts";
import type { Backend } from "./backend.ts";

export const backendSchema = t.Object({
  name: t.String(),
  plugin: t.String(),
  title: t.String(),
  summary: t.Union([t.String(), t.Null()]),
  status: t.Union([
    t.Literal("starting"),
    t.Literal("ready"),
    t.Literal("busy"),
    t.Literal("degraded"),
    t.Literal("down"),
  ]),
  reason: t.Union([t.String(), t.Null()], { description: "Why it is degraded or down." }),
  version: t.Union([t.String(), t.Null()], { description: "The server's; null when unknown." }),
  plugin_version: t.Union([t.String(), t.Null()]),
  device: t.Union([t.String(), t.Null()], { description: "Null when it needs no GPU." }),
  concurrency: t.Integer(),
  capabilities: t.Array(t.String()),
  notice: t.Union([t.String(), t.Null()], { description: "A licence or attribution to show." }),
  checked_at: t.Union([t.String({ format: "date-time" }), t.Null()]),
});

function needsGpu(plugin: AnyPlugin | undefined): boolean {
  const capabilities: AnyCapability[] = Object.values(plugin?.capabilities ?? {});
  return capabilities.some(({ vram }) => vram !== undefined);
}

export function backendToWire(backend: Backend) {
  const { plugin, state, settings } = backend;
  return {
    name: backend.name,
    plugin: backend.use,
    title: backend.title,
    summary: plugin?.summary ?? null,
    status: state.status,
    reason: state.reason ?? null,
    version: state.version ?? null,
    plugin_version: plugin?.version ?? null,
    device: needsGpu(plugin) ? settings.device : null,
    concurrency: settings.concurrency,
    capabilities: Object.keys(plugin?.capabilities ?? {}),
    notice: plugin?.notice ?? null,
    checked_at: state.checkedAtMs === undefined ? null : new Date(state.checkedAtMs).toISOString(),
  };
}

export function backendRoutes(backends: readonly Backend[]): Route[] {
  return [
    route({
      method: "GET",
      path: "/backends",
      policy: { access: "any" },
      docs: { tag: "backends", summary: "List the backends", data: t.Array(backendSchema) },
      handle: () => backends.map(backendToWire),
    }),
  ];
}
