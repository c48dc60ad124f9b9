/** GET /health and GET /ready. Without a key they only say that the gateway lives. */
import { Type as t } from "@sinclair/typebox";
import { Reply, type Route, route } from "./route.ts";

export interface HealthOptions {
  readonly version: string;
  readonly runtime: string;
  readonly startedAtMs: number;
  readonly nowMs: () => number;
  /** What a key may see beside: backends, devices, queue. */
  readonly details: () => Record<string, unknown>;
  /** Undefined, or why no work is taken. */
  readonly notReady: () => string | undefined;
}

export function healthRoutes(options: HealthOptions): Route[] {
  const { version, runtime, startedAtMs, nowMs, details, notReady } = options;
  return [
    route({
      method: "GET",
      path: "/health",
      policy: { access: "public" },
      docs: {
        tag: "health",
        summary: "Is the gateway alive?",
        description:
          "200 for as long as the process serves. With a key also: backends, devices and queue.",
        data: t.Object({
          status: t.Literal("ok"),
          version: t.Optional(t.String()),
          runtime: t.Optional(t.String()),
          uptime_ms: t.Optional(t.Integer()),
          backends: t.Optional(t.Array(t.Unknown())),
          devices: t.Optional(t.Array(t.Unknown())),
          queue: t.Optional(t.Object({ pending: t.Integer(), running: t.Integer() })),
        }),
        exampleData: { status: "ok" },
      },
      handle({ principal }) {
        if (!principal) return { status: "ok" };
        const uptimeMs = Math.round(nowMs() - startedAtMs);
        return { status: "ok", version, runtime, uptime_ms: uptimeMs, ...details() };
      },
    }),
    route({
      method: "GET",
      path: "/ready",
      policy: { access: "public" },
      docs: {
        tag: "health",
        summary: "Does the gateway take work?",
        description: "503 while it recovers or stops, or when its disk is full.",
        data: t.Object({ ready: t.Boolean(), reason: t.Optional(t.String()) }),
        exampleData: { ready: true },
      },
      handle() {
        const reason = notReady();
        return reason === undefined ? { ready: true } : new Reply({ ready: false, reason }, 503);
      },
    }),
  ];
}
