/**
 * The routes that accept work: POST /generate/image, /tts, /llm/generate and whatever plugins add.
 * Each answers 202 with a job, or the finished job (`Prefer: wait=N`), or the job's events as a
 * stream.
 */
import { createHash } from "node:crypto";
import { Type as t } from "@sinclair/typebox";
import type { Principal } from "../auth/principal.ts";
import { GatewayError } from "../errors.ts";
import { type Call, Form, Reply, type Route, route } from "../http/route.ts";
import { createDryRun, dryRunQuery } from "./dry-run.ts";
import { createIntake, type Parcel } from "./intake.ts";
import type { Jobs, Work } from "./jobs.ts";
import { owned } from "./owned.ts";
import type { SchedulingPort } from "./ports.ts";
import type { JobRow } from "./row.ts";
import { acceptedSchema } from "./schema.ts";
import type { EventStreams } from "./sse.ts";
import { isTerminal } from "./state.ts";
import { type CataloguePort, priorityOf, type ServicePort, workOf } from "./work.ts";

export interface WorkRoutesOptions {
  readonly jobs: Jobs;
  readonly streams: EventStreams;
  readonly catalogue: CataloguePort;
  readonly scheduling: SchedulingPort;
  /** As `JobsOptions` has it. */
  readonly keyWeight?: (keyId: string) => number | undefined;
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
}

const MAX_WAIT_S = 60;
const IDEMPOTENCY_KEY = /^[\x20-\x7e]{1,255}$/;

export function workRoutes(options: WorkRoutesOptions): Route[] {
  const { jobs, streams, catalogue, nowMs } = options;

  const dryRun = createDryRun(options);
  const intake = createIntake(jobs.files);

  async function accept(service: ServicePort, call: Call<unknown, { dry_run?: boolean }, unknown>) {
    const { principal, query } = call;
    if (!principal) throw new GatewayError("UNAUTHORIZED");
    const { keyId, limits } = principal;
    const keeps = !query.dry_run;
    // Before a file is stored; a repeated request gets its job whatever has become of the limit.
    const isRepeatable = call.request.headers.has("idempotency-key");
    const bringsFiles = keeps && call.body instanceof Form;
    if (bringsFiles && !isRepeatable) jobs.refuse({ keyId, activeLimit: limits.activeJobs });
    const parcel = await intake.open(service.bodySchema, call, { keyId, keeps });
    try {
      if (query.dry_run) return await dryRun(service.kind, call, parcel, principal);
      const { row, replayed, stream } = await submit(service, call.request, parcel, principal);
      if (replayed) await parcel.discard();
      return answer(call, row, { replayed, stream });
    } catch (error) {
      await parcel.discard();
      throw error;
    }
  }

  async function submit(
    { kind, route }: ServicePort,
    request: Request,
    { body, identity, pack }: Parcel,
    principal: Principal,
  ): Promise<{ readonly row: JobRow; readonly replayed: boolean; readonly stream: boolean }> {
    const { keyId, limits } = principal;
    const idempotency = idempotencyOf(request, route, identity);
    // A repeated request gets its job whatever has happened since: a limit reached, a backend down.
    const first = idempotency && jobs.replay(keyId, idempotency);
    if (first) return { row: first, replayed: true, stream: wantsStream(body) };
    const resolved = await catalogue.resolve(kind, body, principal);
    const submitted = await jobs.submit({
      ...workOf(kind, resolved, limits, nowMs()),
      ...(await pack(resolved.input)),
      keyId,
      priority: priorityOf(request, resolved),
      idempotency,
    });
    return { ...submitted, stream: resolved.stream };
  }

  async function answer(
    { request, connection }: Pick<Call<unknown, unknown, unknown>, "request" | "connection">,
    row: JobRow,
    { replayed, stream }: { replayed: boolean; stream: boolean },
  ): Promise<Reply | Response> {
    const headers: Record<string, string> = {
      location: `/jobs/${row.id}`,
      "x-gateway-job": row.id,
      "x-gateway-backend": row.backend,
      ...(replayed ? { "idempotent-replayed": "true" } : {}),
    };
    const accepts = request.headers.get("accept") ?? "";
    if (stream || accepts.includes("text/event-stream")) {
      // Whoever asks for the answer itself as a stream has no use for it after going away.
      const abandoned = () => {
        if (stream) jobs.cancel(row.id, "The client went away").catch(() => undefined);
      };
      const { id: jobId, keyId } = row;
      const watched = { hub: jobs.hub, jobId, keyId, after: 0 };
      return streams.open({ ...watched, connection, headers, abandoned });
    }
    let latest = row;
    const waitS = waitOf(request);
    if (waitS !== undefined) {
      headers["preference-applied"] = `wait=${waitS}`;
      connection.keepOpen();
      latest = (await jobs.ended(row.id, waitS * 1_000)) ?? row;
      // Until it begins, where it was meant to run; then where it does.
      headers["x-gateway-backend"] = latest.backend;
      if (isTerminal(latest.status)) return new Reply(jobs.wire(latest), 200, headers);
    }
    const status = isTerminal(latest.status) ? 200 : 202;
    return new Reply({ job_id: latest.id, status: latest.status }, status, headers);
  }

  const retry = route({
    method: "POST",
    path: "/jobs/:job_id/retry",
    policy: { access: "jobs:read" },
    params: t.Object({ job_id: t.String({ format: "uuid" }) }),
    docs: {
      tag: "jobs",
      summary: "Run a failed or cancelled job again, as a new job",
      status: 202,
      data: acceptedSchema,
    },
    async handle(call) {
      const { principal } = call;
      const row = owned(jobs, principal, call.params.job_id);
      const service = catalogue.services.find(({ kind }) => kind === row.capability);
      if (!principal || !service) {
        throw new GatewayError("NOT_FOUND", `No backend offers ${row.capability} any more`);
      }
      if (!principal.scopes.has(service.scope)) {
        throw new GatewayError("FORBIDDEN_SCOPE", `This job needs the scope ${service.scope}`);
      }
      if (row.status !== "failed" && row.status !== "cancelled") {
        const message = `Only a failed or cancelled job can be run again; this one is ${row.status}`;
        const code = isTerminal(row.status) ? "JOB_ALREADY_FINISHED" : "JOB_NOT_FINISHED";
        throw new GatewayError(code, message);
      }
      // Who named no backend gets one that works now.
      const backend = row.firstChoice === null ? row.backend : undefined;
      const body = { ...row.input, ...(backend && { backend }), priority: row.priority };
      const resolved = await catalogue.resolve(row.capability, body, principal);
      const { row: again } = await jobs.submit({
        ...workOf(row.capability, resolved, principal.limits, nowMs()),
        ...intake.again(row, service.bodySchema, resolved.input),
        keyId: principal.keyId,
        priority: row.priority,
        tag: row.tag ?? undefined,
        retriedFrom: row.id,
      });
      return answer(call, again, { replayed: false, stream: false });
    },
  });

  const accepting = catalogue.services.map((service) => {
    const [method, path] = service.route.split(" ") as [Route["method"], string];
    return route({
      method,
      path,
      policy: { access: service.scope },
      query: dryRunQuery,
      rawBody: true,
      docs: {
        tag: "generation",
        summary: service.summary,
        description:
          "Answers 202 with a job. `Prefer: wait=N` (at most 60) waits up to N seconds and answers 200 " +
          "with the finished job; `Accept: text/event-stream` or `stream: true` answers with its " +
          "events. `Idempotency-Key` makes a repeated request give the same job for 24 hours. " +
          "`?dry_run=true` makes no job and answers 200 with what would become of one: `feasible` " +
          "(and `reason` when not, or when nobody can tell when), `backend`, `device`, `cost`, " +
          "`evictions`, `ahead` and `eta`.",
        status: 202,
        data: acceptedSchema,
        bodySchema: service.bodySchema,
        exampleBody: service.example,
        exampleData: { job_id: "0199f3a2-7c1e-7d4b-9a53-2f6c1b8e4d10", status: "pending" },
      },
      handle: (call) => accept(service, call),
    });
  });
  return [...accepting, retry];
}

function idempotencyOf(request: Request, path: string, body: unknown): Work["idempotency"] {
  const key = request.headers.get("idempotency-key");
  if (key === null) return undefined;
  if (!IDEMPOTENCY_KEY.test(key)) {
    const message = "Idempotency-Key must be 1 to 255 printable ASCII characters";
    throw new GatewayError("VALIDATION_FAILED", message);
  }
  const text = `${path}\n${JSON.stringify(body)}`;
  return { key, fingerprint: createHash("sha256").update(text).digest("hex") };
}

/** As the first request was accepted, its `stream` was a boolean. */
function wantsStream(body: unknown): boolean {
  return typeof body === "object" && body !== null && "stream" in body && body.stream === true;
}

/** Seconds of `Prefer: wait=N` (RFC 7240), at most 60. */
function waitOf(request: Request): number | undefined {
  const prefer = request.headers.get("prefer");
  if (prefer === null || /\brespond-async\b/.test(prefer)) return undefined;
  const seconds = /\bwait=(\d{1,6})\b/.exec(prefer)?.[1];
  return seconds === undefined ? undefined : Math.min(Number(seconds), MAX_WAIT_S);
}
