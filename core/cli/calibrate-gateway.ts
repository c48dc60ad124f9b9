/** The running gateway, as `calibrate` asks it: over its API, with a key like everybody else. */
import { type Static, type TSchema, Type as t } from "@sinclair/typebox";
import type { RequestOptions } from "../sdk/http.ts";
import { createHttpClient } from "../sdk/http-client.ts";
import { CommandError } from "./environment.ts";

const nullable = <T extends TSchema>(schema: T) => t.Union([schema, t.Null()]);
const mib = nullable(t.Number());
const ms = nullable(t.Number());

const backendSchema = t.Object({
  name: t.String(),
  title: t.String(),
  status: t.String(),
  reason: nullable(t.String()),
  device: nullable(t.String()),
  work: t.Array(
    t.Object({
      capability: t.String(),
      route: t.String(),
      example: t.Record(t.String(), t.Unknown()),
    }),
  ),
});
const jobSchema = t.Object({
  model: nullable(t.String()),
  status: t.String(),
  phase: nullable(t.String()),
  progress: nullable(t.Object({ value: nullable(t.Number()), note: nullable(t.String()) })),
  queue: nullable(t.Object({ wait_reason: t.String() })),
  error: nullable(t.Object({ code: t.String(), message: t.String() })),
});
const estimateSchema = t.Object({
  device: nullable(t.String()),
  cost: nullable(t.Object({ resident_mib: mib, working_mib: mib, source: t.String() })),
  reason: t.Optional(t.String()),
});
const costSchema = t.Object({
  backend: t.String(),
  model: t.String(),
  bucket: t.Integer(),
  resident_mib: mib,
  working_mib: mib,
  load_ms: ms,
  run_ms: ms,
  samples: t.Object({
    resident: t.Integer(),
    working: t.Integer(),
    load: t.Integer(),
    run: t.Integer(),
  }),
  updated_at: t.String(),
});
const freedSchema = t.Object({
  freed: t.Array(t.Object({ models: t.Array(t.String()), freed: t.Boolean() })),
  kept: t.Array(t.Object({ model: t.String(), reason: t.String() })),
});
const deviceSchema = t.Object({
  name: t.String(),
  probe: t.Object({ kind: t.String(), state: t.String(), reason: nullable(t.String()) }),
  processes: nullable(t.Array(t.Unknown())),
});

export type BackendRow = Static<typeof backendSchema>;
export type JobRow = Static<typeof jobSchema>;
export type Estimate = Static<typeof estimateSchema>;
export type CostRow = Static<typeof costSchema>;
export type Freed = Static<typeof freedSchema>;
export type DeviceRow = Static<typeof deviceSchema>;

/** Every call throws an Error whose message says what failed, and where. */
export interface RunningGateway {
  backends(): Promise<readonly BackendRow[]>;
  /** What the request is expected to cost; nothing is queued. */
  estimate(path: string, body: unknown): Promise<Estimate>;
  /** The new job's id. */
  submit(path: string, body: unknown): Promise<string>;
  job(id: string): Promise<JobRow>;
  cancel(id: string): Promise<void>;
  /** Makes everything idle of the backend leave. */
  free(backend: string): Promise<Freed>;
  costs(): Promise<readonly CostRow[]>;
  devices(): Promise<readonly DeviceRow[]>;
}

export interface Credentials {
  readonly url: string;
  readonly key: string;
}

/** A reclaim may climb to the restart of a server. */
const FREE_LIMIT_MS = 20 * 60_000;

export function openRunningGateway({ url, key }: Credentials): RunningGateway {
  const http = clientOf(url, key);

  // Checked in the line before; the generic type of the envelope says less than its schema.
  const dataIn = <T extends TSchema>(_: T, answer: unknown) => (answer as { data: Static<T> }).data;

  async function get<T extends TSchema>(path: string, data: T): Promise<Static<T>> {
    return dataIn(data, await http.get(path, { as: t.Object({ data }) }));
  }

  async function post<T extends TSchema>(
    path: string,
    body: unknown,
    data: T,
    options: RequestOptions = {},
  ): Promise<Static<T>> {
    return dataIn(data, await http.post(path, body, { as: t.Object({ data }), ...options }));
  }

  return {
    backends: () => get("/backends", t.Array(backendSchema)),
    estimate: (path, body) => post(path, body, estimateSchema, { query: { dry_run: true } }),
    submit: async (path, body) => (await post(path, body, t.Object({ job_id: t.String() }))).job_id,
    job: (id) => get(`/jobs/${id}`, jobSchema),
    cancel: async (id) => void (await http.fetch(`/jobs/${id}`, { method: "DELETE" })),
    free: (backend) => post("/vram/free", { backend }, freedSchema, { timeoutMs: FREE_LIMIT_MS }),
    costs: async () => (await get("/vram/costs", t.Object({ costs: t.Array(costSchema) }))).costs,
    devices: async () => (await get("/vram", t.Object({ devices: t.Array(deviceSchema) }))).devices,
  };
}

function clientOf(url: string, key: string) {
  try {
    return createHttpClient({ baseUrl: url, title: "The gateway", headers: { "x-api-key": key } });
  } catch (cause) {
    throw new CommandError(`"${url}" is no URL such as http://127.0.0.1:1301`, { cause });
  }
}
