/** GET /backends: who is configured, how each is, and what it offers. */
import { Type as t } from "@sinclair/typebox";
import { type Route, route } from "../http/route.ts";
import type { Backend } from "./backend.ts";
import { offered } from "./services.ts";

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
    t.Literal("stopped"),
  ]),
  reason: t.Union([t.String(), t.Null()], { description: "Why it is degraded or down." }),
  version: t.Union([t.String(), t.Null()], { description: "The server's; null when unknown." }),
  plugin_version: t.Union([t.String(), t.Null()]),
  device: t.Union([t.String(), t.Null()], { description: "Null when it needs no GPU." }),
  concurrency: t.Integer(),
  capabilities: t.Array(t.String()),
  work: t.Array(t.Object({ capability: t.String(), route: t.String(), example: t.Unknown() }), {
    description: "How each kind of work is asked for, with a request that works.",
  }),
  notice: t.Union([t.String(), t.Null()], { description: "A licence or attribution to show." }),
  checked_at: t.Union([t.String({ format: "date-time" }), t.Null()]),
  retry_at: t.Union([t.String({ format: "date-time" }), t.Null()], {
    description: "No job is sent there before, because those before it failed; null otherwise.",
  }),
});

export function backendToWire(backend: Backend) {
  const { plugin, state, settings } = backend;
  const capabilities = offered(backend);
  const needsGpu = capabilities.some(([, { vram }]) => vram !== undefined);
  return {
    name: backend.name,
    plugin: backend.use,
    title: backend.title,
    summary: plugin?.summary ?? null,
    status: state.status,
    reason: state.reason ?? null,
    version: state.version ?? null,
    plugin_version: plugin?.version ?? null,
    device: needsGpu ? settings.device : null,
    concurrency: settings.concurrency,
    capabilities: capabilities.map(([kind]) => kind),
    work: capabilities.map(([capability, { route, example }]) => ({
      capability,
      route,
      example,
    })),
    notice: plugin?.notice ?? null,
    checked_at: isoOrNull(state.checkedAtMs),
    retry_at: isoOrNull(state.retryAtMs),
  };
}

function isoOrNull(timeMs: number | undefined): string | null {
  return timeMs === undefined ? null : new Date(timeMs).toISOString();
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
