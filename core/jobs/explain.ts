/** `GET /jobs/{id}/explain`: why a job waits, or where it is and since when. */
import { type TSchema, Type as t } from "@sinclair/typebox";
import { etaSchema } from "./dry-run.ts";
import type { Jobs } from "./jobs.ts";
import type { SchedulingPort } from "./ports.ts";
import type { JobRow } from "./row.ts";
import type { Holding } from "./runner.ts";
import { statusSchema } from "./schema.ts";

const nullable = <T extends TSchema>(schema: T) => t.Union([schema, t.Null()]);
const more = { additionalProperties: true };

export const explanationSchema = t.Object({
  job_id: t.String({ format: "uuid" }),
  status: statusSchema,
  phase: nullable(t.String({ description: "As in the job." })),
  message: t.String({ description: "All of it in one sentence." }),
  since: t.String({ format: "date-time" }),
  backend: t.String({ description: "While it waits: the first choice, if there are several." }),
  device: nullable(t.String()),
  lease: nullable(
    t.String({
      description:
        "What holds the device for it: `running`; `stopping`, it was told to stop; " +
        "`stopping_process`, it did not, so its server is being ended; `orphan`, it did not, and " +
        "its server has to tell when it is idle.",
    }),
  ),
  waits_for: nullable(
    t.Object(
      { reason: t.String(), message: t.String() },
      {
        ...more,
        description: "What it waits for now; `reason` says which other fields there are.",
      },
    ),
  ),
  dispatch: nullable(
    t.Object({
      position: t.Integer({ description: "Place in the order of dispatch, 0 is next." }),
      exact: t.Boolean({ description: "Whether it comes from looking ahead." }),
    }),
  ),
  eta: nullable(etaSchema),
  eta_unknown: nullable(t.String({ description: "Why there is no ETA." })),
  places: t.Array(
    t.Object(
      { backend: t.String(), model: t.String(), device: t.String(), feasible: t.Boolean() },
      { ...more, description: "Where it could run, the best first, and what stands against it." },
    ),
  ),
});

export type ExplanationWire = typeof explanationSchema.static;

export interface ExplainPorts {
  readonly jobs: Pick<Jobs, "wire" | "holding">;
  readonly scheduling: SchedulingPort;
}

export async function explanationOf(row: JobRow, ports: ExplainPorts): Promise<ExplanationWire> {
  const holding = ports.jobs.holding(row.id);
  const frame = {
    job_id: row.id,
    status: row.status,
    phase: row.phase,
    backend: row.backend,
    device: row.device,
    lease: holding?.state ?? null,
  };
  if (row.status === "pending") {
    const since = iso(row.attempts === 0 ? row.createdAt : row.updatedAt);
    const known = await ports.scheduling.explain(row.id);
    if (isExplanation(known)) {
      return { ...frame, since, message: known.waits_for.message, ...known };
    }
    const waitsFor = withoutScheduler(row, ports);
    const { ahead } = ports.jobs.wire(row).queue ?? { ahead: 0 };
    const dispatch = { position: ahead, exact: false };
    return {
      ...NOTHING,
      ...frame,
      since,
      message: waitsFor.message,
      waits_for: waitsFor,
      dispatch,
    };
  }
  if (row.status === "running") {
    const since = iso(holding?.startedAtMs ?? row.startedAt ?? row.createdAt);
    const message = `It has been computing on ${whereOf(row)} since ${since}${doing(row)}`;
    return { ...NOTHING, ...frame, since, message };
  }
  const since = iso(row.finishedAt ?? row.updatedAt);
  return { ...NOTHING, ...frame, since, message: `${endOf(row, since)}${leftOf(holding)}` };
}

const NOTHING = {
  waits_for: null,
  dispatch: null,
  eta: null,
  eta_unknown: null,
  places: [],
} satisfies Partial<ExplanationWire>;

/** The port's answer, which is the scheduler's own business beyond these. */
function isExplanation(known: unknown): known is Pick<
  ExplanationWire,
  "waits_for" | "dispatch" | "eta" | "eta_unknown" | "places"
> & {
  readonly waits_for: { readonly message: string };
} {
  if (typeof known !== "object" || known === null || !("waits_for" in known)) return false;
  const { waits_for: waitsFor } = known;
  return typeof waitsFor === "object" && waitsFor !== null && "message" in waitsFor;
}

/** A job that waits for no device's memory: for its time, for a slot, or for a server. */
function withoutScheduler(
  row: JobRow,
  { jobs }: ExplainPorts,
): { reason: string; message: string } {
  const reason = jobs.wire(row).queue?.wait_reason ?? "starting";
  switch (reason) {
    case "retry_later":
      return {
        reason,
        message: `Its next attempt begins after ${iso(row.runAfter ?? row.updatedAt)}`,
      };
    case "backend_down":
      return { reason, message: `${row.backend} is down; it goes on when that works again` };
    case "backend_busy":
      return { reason, message: `${row.backend} computes as many jobs as it takes at once` };
    default:
      return { reason, message: "It is about to begin" };
  }
}

function whereOf({ backend, device }: JobRow): string {
  return device === null ? backend : `${device} with ${backend}`;
}

function doing({ phase, progress, attempts }: JobRow): string {
  const attempt = attempts > 1 ? ` (attempt ${attempts})` : "";
  if (phase === "collecting") return `${attempt}; its files are being stored`;
  const value = progress?.value;
  return typeof value === "number" ? `${attempt}; ${Math.round(100 * value)} % done` : attempt;
}

function endOf(row: JobRow, since: string): string {
  if (row.startedAt === null) return `It was ${row.status} at ${since} without having begun`;
  const verb = row.status === "cancelled" ? "was cancelled" : row.status;
  const why = row.status === "failed" && row.error ? `: ${row.error.message}` : "";
  return `It ran on ${whereOf(row)} and ${verb} at ${since}${why}`;
}

function leftOf(holding: Holding | undefined): string {
  switch (holding?.state) {
    case "stopping":
      return "; its server was told to stop and has not yet";
    case "stopping_process":
      return "; its server did not stop, so its process is being ended";
    case "orphan":
      return "; its server did not stop, so its place is kept until that is idle";
    default:
      return "";
  }
}

const iso = (timeMs: number): string => new Date(timeMs).toISOString();
