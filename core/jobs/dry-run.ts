/** `?dry_run=true`: what would become of a request, checked like a real one, without a job. */
import { type TSchema, Type as t } from "@sinclair/typebox";
import type { Principal } from "../auth/principal.ts";
import { GatewayError } from "../errors.ts";
import { type Call, Reply } from "../http/route.ts";
import type { Parcel } from "./intake.ts";
import type { Jobs } from "./jobs.ts";
import type { SchedulingPort } from "./ports.ts";
import { type CataloguePort, priorityOf, type ResolvedWork, workOf } from "./work.ts";

export const dryRunQuery = t.Object({
  dry_run: t.Optional(
    t.Boolean({ description: "Make no job: only say whether, where and when it would run." }),
  ),
});

const nullable = <T extends TSchema>(schema: T) => t.Union([schema, t.Null()]);
const moment = nullable(
  t.Object(
    { p50_ms: t.Number(), p90_ms: t.Number() },
    { description: "From now; null rather than a guess." },
  ),
);
export const etaSchema = t.Object({ start: moment, end: moment });

/** What the scheduling port answers; more fields may come. */
export const dryRunSchema = t.Object({
  feasible: t.Boolean({ description: "False: it fits on no device, whatever leaves." }),
  backend: nullable(t.String({ description: "Where it would run as things stand." })),
  device: nullable(t.String({ description: "Null when it needs none." })),
  cost: nullable(
    t.Object({
      resident_mib: t.Number(),
      working_mib: t.Number(),
      load_ms: nullable(t.Number({ description: "Expected." })),
      run_ms: nullable(t.Number({ description: "Expected." })),
      source: t.String({ description: "declared, learned or operator" }),
    }),
  ),
  evictions: t.Array(
    t.Object({
      backend: t.String(),
      model: t.String(),
      device: t.String(),
      at_ms: nullable(t.Number({ description: "From now; null when nobody can tell." })),
    }),
    { description: "What would leave for it." },
  ),
  ahead: nullable(t.Integer({ description: "Jobs that would start before it." })),
  eta: etaSchema,
  reason: t.Optional(t.String({ description: "Why it is not feasible, or why there is no ETA." })),
});

export interface DryRunPorts {
  readonly jobs: Pick<Jobs, "refuse">;
  readonly catalogue: CataloguePort;
  readonly scheduling: SchedulingPort;
  readonly keyWeight?: (keyId: string) => number | undefined;
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
}

export type DryRun = (
  kind: string,
  call: Pick<Call<unknown, unknown, unknown>, "request">,
  parcel: Pick<Parcel, "body" | "pack">,
  principal: Principal,
) => Promise<Reply>;

export function createDryRun(ports: DryRunPorts): DryRun {
  const { jobs, catalogue, scheduling, nowMs, monotonicMs } = ports;
  return async (kind, { request }, { body, pack }, principal) => {
    const { keyId, limits } = principal;
    let resolved: ResolvedWork;
    try {
      resolved = await catalogue.resolve(kind, body, principal);
      // Of a parcel that keeps nothing: only what is wrong with its files comes out.
      await pack(resolved.input);
    } catch (error) {
      // That it can never fit is what was asked; everything else is wrong with the request.
      if (error instanceof GatewayError && error.code === "INFEASIBLE_VRAM") {
        return new Reply(infeasible(error));
      }
      throw error;
    }
    jobs.refuse({ keyId, activeLimit: limits.activeJobs });
    const { startByMs, choices } = workOf(kind, resolved, limits, nowMs());
    const answer = await scheduling.dryRun({
      keyId,
      keyWeight: ports.keyWeight?.(keyId),
      choices,
      priority: priorityOf(request, resolved),
      startByMs: startByMs === undefined ? undefined : startByMs - nowMs() + monotonicMs(),
    });
    return new Reply(answer);
  };
}

function infeasible({ message, details }: GatewayError): typeof dryRunSchema.static {
  return {
    feasible: false,
    backend: null,
    device: typeof details?.device === "string" ? details.device : null,
    cost: null,
    evictions: [],
    ahead: null,
    eta: { start: null, end: null },
    reason: message,
  };
}
