/** The VRAM scheduler on the wire: snake_case, MiB, ISO 8601 times. */
import { type TSchema, Type as t } from "@sinclair/typebox";
import type { CostEntry } from "./costs/cost-book.ts";

const nullable = <T extends TSchema>(schema: T) => t.Union([schema, t.Null()]);
const time = t.String({ format: "date-time" });
const mib = t.Number({ description: "MiB" });

export const residentSchema = t.Object({
  backend: t.String(),
  model: t.String(),
  device: t.String(),
  state: t.String({ description: "reserved, loading, resident or leaving" }),
  resident_mib: mib,
  backend_measured_mib: nullable(
    t.Number({ description: "MiB of all the backend's processes, where they can be told apart." }),
  ),
  running: t.Integer({ description: "Jobs that compute with it now." }),
  served: t.Integer({ description: "Jobs since its load." }),
  pinned: t.Boolean(),
  last_used_at: nullable(time),
});

export const residentsSchema = t.Object({ residents: t.Array(residentSchema) });

const heldSchema = t.Object(
  { kind: t.String({ description: "job, external, orphan or shadow" }), mib: mib },
  {
    additionalProperties: true,
    description:
      "Who holds memory beside models. orphan: a job that has ended for its client and whose " +
      "backend still computes. shadow: a process that nobody here manages. external: a lease of " +
      "POST /leases, with name, since and expires_at.",
  },
);

const deviceSchema = t.Object({
  name: t.String(),
  uuid: nullable(t.String()),
  product: nullable(t.String()),
  total_mib: nullable(mib),
  used_mib: nullable(mib),
  free_mib: nullable(mib),
  utilisation: nullable(t.Number({ description: "0 to 1" })),
  limit_mib: nullable(t.Number({ description: "MiB that may be used: the total less headroom." })),
  held_mib: t.Number({ description: "MiB that models and running jobs are counted with." }),
  promised_mib: t.Number({ description: "MiB reserved for models whose room is being made." }),
  foreign_mib: t.Number({ description: "MiB of processes that nobody here manages." }),
  available_mib: nullable(t.Number({ description: "MiB that could be promised now." })),
  heavy: t.Object({ running: t.Integer(), limit: t.Integer() }),
  probe: t.Object({
    kind: t.String(),
    state: t.String({ description: "reading or missing" }),
    reason: nullable(t.String()),
    measured_at: nullable(time),
  }),
  processes: nullable(
    t.Array(
      t.Object({
        pid: t.Integer(),
        name: nullable(t.String()),
        used_mib: mib,
        backend: nullable(t.String({ description: "Whose process it is; null: nobody's here." })),
      }),
      { description: "Null when the tool cannot tell, in a container for example." },
    ),
  ),
  residents: t.Array(residentSchema),
  leases: t.Array(heldSchema),
  reservation: nullable(
    t.Object(
      { job_id: t.String(), backend: t.String(), model: t.String() },
      { additionalProperties: true, description: "The overdue job that goes next here." },
    ),
  ),
});

export const vramSchema = t.Object({
  policy: t.String(),
  devices: t.Array(deviceSchema),
  processes: t.Array(
    t.Object(
      { backend: t.String(), state: t.String() },
      { additionalProperties: true, description: "Servers that the gateway starts and stops." },
    ),
  ),
  waiting: t.Array(
    t.Object(
      {
        jobs: t.Integer(),
        first_job_id: nullable(t.String()),
        lease_id: nullable(t.String({ description: "It is a lease that waits, and no job." })),
        keys: t.Integer(),
        expected_run_ms: nullable(t.Number({ description: "Of a job; null for a lease." })),
        places: t.Array(
          t.Object({
            backend: nullable(t.String()),
            model: t.String({ description: "The name of a lease." }),
            device: t.String(),
            state: t.String(),
          }),
        ),
      },
      { description: "Jobs that can run in the same places, or a lease." },
    ),
  ),
  recent: t.Array(
    t.Object(
      { at: time, type: t.String({ description: "vram.loading, loaded, load_failed, reclaimed" }) },
      { additionalProperties: true, description: "The newest loads and reclaims, oldest first." },
    ),
  ),
  demoted: t.Array(
    t.Object(
      { backend: t.String(), verb: t.String(), since: time, reason: t.String() },
      { description: "Ways to free memory that did not do what they said." },
    ),
  ),
});

export const reclaimSchema = t.Object({
  backend: t.String(),
  device: t.String(),
  models: t.Array(t.String()),
  freed: t.Boolean(),
  expected_mib: mib,
  actual_mib: nullable(t.Number({ description: "MiB as measured; null without a probe." })),
  attempts: t.Array(
    t.Object({
      verb: t.String({ description: "free, restart or stop" }),
      believed: t.Boolean(),
      expected_mib: mib,
      actual_mib: nullable(mib),
      duration_ms: t.Integer(),
      error: nullable(t.String()),
    }),
  ),
});

export const freedSchema = t.Object({
  freed: t.Array(reclaimSchema),
  kept: t.Array(
    t.Object({
      backend: t.String(),
      model: t.String(),
      device: t.String(),
      reason: t.String(),
    }),
  ),
});

export const freeSchema = t.Object(
  {
    device: t.Optional(t.String({ description: "Only what is there." })),
    backend: t.Optional(t.String({ description: "Only its models." })),
    model: t.Optional(t.String({ description: "Only this one, as GET /vram names it." })),
    mib: t.Optional(
      t.Integer({
        minimum: 1,
        description:
          "MiB that shall be available on the device (available_mib): no more leaves than that " +
          "takes. Without it, everything idle that is meant.",
      }),
    ),
    all: t.Optional(t.Literal(true, { description: "Everything idle, on every device." })),
  },
  { additionalProperties: false },
);

export const supervisionSchema = t.Object({
  backend: t.String(),
  process: t.Object(
    { state: t.String({ description: "stopped, starting, ready, stopping or failed" }) },
    { additionalProperties: true },
  ),
});

const ttl = { minimum: 1, maximum: 86_400, unit: "s" };

export const leaseAskSchema = t.Object(
  {
    name: t.String({
      minLength: 1,
      maxLength: 64,
      description: "What it is for, as people read it.",
    }),
    mib: t.Integer({ minimum: 1, description: "Memory that it will need." }),
    device: t.Optional(t.String({ description: "The first device when absent." })),
    ttl_s: t.Integer({
      ...ttl,
      default: 60,
      description: "Ends by itself when not renewed within.",
    }),
    heavy: t.Boolean({
      default: true,
      description: "It computes for long: no other heavy job beside it.",
    }),
    pid: t.Optional(
      t.Integer({ minimum: 1, description: "Its process, where the probe sees it." }),
    ),
    priority: t.Optional(t.Integer({ minimum: 0, maximum: 9 })),
  },
  { additionalProperties: false },
);

export const renewSchema = t.Object(
  { ttl_s: t.Optional(t.Integer({ ...ttl, description: "As before when absent." })) },
  { additionalProperties: false },
);

export const leaseSchema = t.Object({
  lease_id: t.String({ format: "uuid" }),
  name: t.String(),
  status: t.String({ description: "waiting, granted or ended" }),
  device: t.String(),
  mib: t.Integer(),
  heavy: t.Boolean(),
  pid: nullable(t.Integer()),
  ttl_s: t.Number(),
  created_at: time,
  granted_at: nullable(time),
  expires_at: time,
});

export const leasesSchema = t.Object({ leases: t.Array(leaseSchema) });

const samples = t.Object({
  resident: t.Integer(),
  working: t.Integer(),
  load: t.Integer(),
  run: t.Integer(),
});

export const costsSchema = t.Object({
  costs: t.Array(
    t.Object(
      { backend: t.String(), model: t.String(), bucket: t.Integer(), samples },
      { additionalProperties: true },
    ),
  ),
});

export function costToWire(entry: CostEntry) {
  return {
    backend: entry.backend,
    model: entry.model,
    bucket: entry.bucket,
    resident_mib: entry.residentMiB ?? null,
    working_mib: entry.workingMiB ?? null,
    load_ms: rounded(entry.loadMs),
    load_p90_ms: rounded(entry.loadP90Ms),
    run_ms: rounded(entry.runMs),
    run_p50_ms: rounded(entry.runP50Ms),
    run_p90_ms: rounded(entry.runP90Ms),
    out_of_memory_floor_mib: entry.outOfMemoryFloorMiB ?? null,
    samples: entry.samples,
    updated_at: new Date(entry.updatedAtMs).toISOString(),
  };
}

const rounded = (ms: number | undefined): number | null =>
  ms === undefined ? null : Math.round(ms);
