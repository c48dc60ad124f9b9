/** Jobs on the wire: snake_case, ISO 8601 times, units in the names. */
import { type Static, Type as t } from "@sinclair/typebox";
import type { JobRow } from "./row.ts";

const nullable = <T extends ReturnType<typeof t.String | typeof t.Integer>>(schema: T) =>
  t.Union([schema, t.Null()]);
const time = t.String({ format: "date-time" });

export const statusSchema = t.Union(
  [
    t.Literal("pending"),
    t.Literal("running"),
    t.Literal("completed"),
    t.Literal("failed"),
    t.Literal("cancelled"),
  ],
  { description: "The last three are final." },
);

export const acceptedSchema = t.Object({
  job_id: t.String({ format: "uuid" }),
  status: statusSchema,
});

export const jobSchema = t.Object({
  job_id: t.String({ format: "uuid" }),
  capability: t.String(),
  backend: t.String(),
  model: nullable(t.String()),
  status: statusSchema,
  phase: nullable(t.String({ description: "queued, loading, generating or collecting" })),
  progress: t.Union([
    t.Object({
      value: t.Union([t.Number(), t.Null()], { description: "0 to 1; null when unknown." }),
      note: nullable(t.String()),
      preview_url: nullable(t.String()),
    }),
    t.Null(),
  ]),
  queue: t.Union([
    t.Object({
      position: t.Integer({ description: "Place in the order of dispatch, 0 is next." }),
      ahead: t.Integer(),
      wait_reason: t.String(),
      eta: t.Null({ description: "Null rather than a guess." }),
    }),
    t.Null(),
  ]),
  created_at: time,
  started_at: nullable(time),
  finished_at: nullable(time),
  start_by: nullable(time),
  attempts: t.Integer(),
  priority: t.Integer(),
  tag: nullable(t.String()),
  retried_from: nullable(t.String()),
  input: t.Record(t.String(), t.Unknown()),
  output: t.Unknown({
    description: "The capability's result, with `artifacts` when it made files; null before.",
  }),
  error: t.Union([
    t.Object({
      code: t.String(),
      message: t.String(),
      details: t.Optional(t.Record(t.String(), t.Unknown())),
    }),
    t.Null(),
  ]),
  metrics: t.Object({
    queue_ms: nullable(t.Integer()),
    run_ms: nullable(t.Integer()),
  }),
  seq: t.Integer({ description: "Number of the newest event." }),
  urls: t.Object({
    self: t.String(),
    events: t.String(),
    cancel: t.String(),
    ws: t.String(),
  }),
});

export type JobWire = Static<typeof jobSchema>;

export interface Surroundings {
  readonly waiting?: { readonly ahead: number; readonly reason: string };
  readonly hasPreview: boolean;
}

export function jobToWire(row: JobRow, { waiting, hasPreview }: Surroundings): JobWire {
  const self = `/jobs/${row.id}`;
  return {
    job_id: row.id,
    capability: row.capability,
    backend: row.backend,
    model: row.model,
    status: row.status,
    phase: row.phase,
    progress:
      row.progress === null && !hasPreview
        ? null
        : {
            value: row.progress?.value ?? null,
            note: row.progress?.note ?? null,
            preview_url: hasPreview ? `${self}/preview` : null,
          },
    queue:
      row.status === "pending"
        ? {
            position: waiting?.ahead ?? 0,
            ahead: waiting?.ahead ?? 0,
            wait_reason: waiting?.reason ?? (row.runAfter ? "retry_later" : "starting"),
            eta: null,
          }
        : null,
    created_at: iso(row.createdAt),
    started_at: isoOrNull(row.startedAt),
    finished_at: isoOrNull(row.finishedAt),
    start_by: isoOrNull(row.startBy),
    attempts: row.attempts,
    priority: row.priority,
    tag: row.tag,
    retried_from: row.retriedFrom,
    input: row.input,
    output: row.output ?? null,
    error: row.error,
    metrics: {
      queue_ms: row.startedAt === null ? null : row.startedAt - row.createdAt,
      run_ms:
        row.startedAt === null || row.finishedAt === null ? null : row.finishedAt - row.startedAt,
    },
    seq: row.seq,
    urls: { self, events: `${self}/events`, cancel: `${self}/cancel`, ws: `/ws${self}` },
  };
}

const iso = (timeMs: number): string => new Date(timeMs).toISOString();
const isoOrNull = (timeMs: number | null): string | null => (timeMs === null ? null : iso(timeMs));
