/**
 * The routes that accept work: POST /generate/image, /tts, /llm/generate and whatever plugins add.
 * Each answers 202 with a job, or the finished job (`Prefer: wait=N`), or the job's events as a
 * stream.
 */
import { createHash } from "node:crypto";
import { type TSchema, Type as t } from "@sinclair/typebox";
import type { KeyLimits, Principal } from "../auth/principal.ts";
import type { Scope } from "../auth/scopes.ts";
import { GatewayError } from "../errors.ts";
import { type Call, Reply, type Route, route } from "../http/route.ts";
import type { VramCost } from "../sdk/plugin.ts";
import type { Jobs, Work } from "./jobs.ts";
import { owned } from "./owned.ts";
import type { JobRow } from "./row.ts";
import { acceptedSchema } from "./schema.ts";
import type { EventStreams } from "./sse.ts";
import { isTerminal } from "./state.ts";

/** One kind of work and its route, as the host offers it. */
export interface ServicePort {
  readonly kind: string;
  /** "POST /generate/image" */
  readonly route: string;
  readonly scope: Scope;
  readonly summary: string;
  readonly bodySchema: TSchema;
  readonly example: unknown;
}

export interface ResolvedWork {
  readonly backend: string;
  readonly queueTimeoutMs: number;
  readonly input: Record<string, unknown>;
  readonly model?: string;
  readonly demand?: VramCost;
  readonly priority?: number;
  readonly startBy?: string;
  readonly timeoutMs?: number;
  readonly tag?: string;
  readonly stream: boolean;
}

export interface CataloguePort {
  readonly services: readonly ServicePort[];
  /** Checks the request and chooses its backend; throws the error that the client gets. */
  resolve(kind: string, body: unknown, principal: Principal): Promise<ResolvedWork>;
}

export interface WorkRoutesOptions {
  readonly jobs: Jobs;
  readonly streams: EventStreams;
  readonly catalogue: CataloguePort;
  readonly nowMs: () => number;
}

const DEFAULT_PRIORITY = 5;
const PRIORITY_WORDS: Readonly<Record<string, number>> = {
  interactive: 8,
  normal: DEFAULT_PRIORITY,
  background: 2,
};
const MAX_WAIT_S = 60;
const IDEMPOTENCY_KEY = /^[\x20-\x7e]{1,255}$/;

export function workRoutes(options: WorkRoutesOptions): Route[] {
  const { jobs, streams, catalogue, nowMs } = options;

  async function accept(service: ServicePort, call: Call<unknown, unknown, unknown>) {
    const { principal } = call;
    if (!principal) throw new GatewayError("UNAUTHORIZED");
    const idempotency = idempotencyOf(call.request, service.route, call.body);
    // A repeated request gets its job whatever has happened since: a limit reached, a backend down.
    const first = idempotency && jobs.replay(principal.keyId, idempotency);
    if (first) return answer(call, first, { replayed: true, stream: wantsStream(call.body) });
    const resolved = await catalogue.resolve(service.kind, call.body, principal);
    const { row, replayed } = await jobs.submit({
      ...workOf(service.kind, resolved, principal.limits, nowMs()),
      keyId: principal.keyId,
      priority: resolved.priority ?? headerPriority(call.request) ?? DEFAULT_PRIORITY,
      idempotency,
    });
    return answer(call, row, { replayed, stream: resolved.stream });
  }

  async function answer(
    { request, connection }: Call<unknown, unknown, unknown>,
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
      const body = { ...row.input, backend: row.backend, priority: row.priority };
      const resolved = await catalogue.resolve(row.capability, body, principal);
      const { row: again } = await jobs.submit({
        ...workOf(row.capability, resolved, principal.limits, nowMs()),
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
      rawBody: true,
      docs: {
        tag: "generation",
        summary: service.summary,
        description:
          "Answers 202 with a job. `Prefer: wait=N` (at most 60) waits up to N seconds and answers 200 " +
          "with the finished job; `Accept: text/event-stream` or `stream: true` answers with its " +
          "events. `Idempotency-Key` makes a repeated request give the same job for 24 hours.",
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

/** The parts of a job that the request decides; also used for work that a plugin asks for. */
export function workOf(
  capability: string,
  resolved: ResolvedWork,
  limits: KeyLimits,
  nowMs: number,
): Omit<Work, "keyId" | "priority"> {
  const startBy = resolved.startBy === undefined ? undefined : Date.parse(resolved.startBy);
  return {
    capability,
    backend: resolved.backend,
    model: resolved.model,
    input: resolved.input,
    demand: resolved.demand,
    startByMs: startBy ?? nowMs + resolved.queueTimeoutMs,
    timeoutMs: resolved.timeoutMs,
    tag: resolved.tag,
    activeLimit: limits.activeJobs,
  };
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

function headerPriority(request: Request): number | undefined {
  return PRIORITY_WORDS[request.headers.get("x-priority")?.toLowerCase() ?? ""];
}

/** Seconds of `Prefer: wait=N` (RFC 7240), at most 60. */
function waitOf(request: Request): number | undefined {
  const prefer = request.headers.get("prefer");
  if (prefer === null || /\brespond-async\b/.test(prefer)) return undefined;
  const seconds = /\bwait=(\d{1,6})\b/.exec(prefer)?.[1];
  return seconds === undefined ? undefined : Math.min(Number(seconds), MAX_WAIT_S);
}
