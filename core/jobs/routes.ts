/** The routes that watch and end jobs. A job of another key is 404, as one that never was. */
import { Type as t } from "@sinclair/typebox";
import { GatewayError } from "../errors.ts";
import { type Call, type Route, route } from "../http/route.ts";
import { explanationOf, explanationSchema } from "./explain.ts";
import type { Jobs } from "./jobs.ts";
import { owned } from "./owned.ts";
import type { SchedulingPort } from "./ports.ts";
import { jobSchema } from "./schema.ts";
import type { JobSockets } from "./socket.ts";
import type { EventStreams } from "./sse.ts";
import { isTerminal, STATUSES } from "./state.ts";

export interface JobRoutesOptions {
  readonly jobs: Jobs;
  readonly scheduling: SchedulingPort;
  readonly streams: EventStreams;
  readonly sockets: JobSockets;
  /** WebSockets that may be open at once. */
  readonly maxSockets: number;
}

const TAG = "jobs";
const idParams = t.Object({ job_id: t.String({ format: "uuid" }) });
const afterQuery = t.Object({
  after: t.Optional(
    t.Integer({ minimum: 0, description: "Number of the last event that you have." }),
  ),
});
const listQuery = t.Object({
  limit: t.Integer({ minimum: 1, maximum: 100, default: 50 }),
  after: t.Optional(t.String({ format: "uuid", description: "`next_cursor` of the last page." })),
  status: t.Optional(
    t.String({
      pattern: `^(${STATUSES.join("|")})(,(${STATUSES.join("|")}))*$`,
      description: `One or more of ${STATUSES.join(", ")}, with commas.`,
    }),
  ),
  capability: t.Optional(t.String({ description: "For example image.generate." })),
  backend: t.Optional(t.String()),
  tag: t.Optional(t.String()),
  since: t.Optional(t.String({ format: "date-time" })),
  all: t.Optional(t.Boolean({ description: "Everybody's jobs; needs `jobs:admin`." })),
});

export function jobRoutes(options: JobRoutesOptions): Route[] {
  const { jobs, streams, sockets, maxSockets } = options;

  /** Nobody starts to watch a gateway that stops: the next one tells what was missed. */
  function refuseWhenStopping(): void {
    if (jobs.draining) {
      throw new GatewayError("SHUTTING_DOWN", undefined, { retryAfterMs: 10_000 });
    }
  }

  function socket(path: string): Route {
    return route({
      method: "GET",
      path,
      policy: { access: "jobs:read", ticket: true },
      params: idParams,
      query: afterQuery,
      docs: {
        tag: TAG,
        summary: "Watch a job on a WebSocket",
        description:
          "The first message is `{type: snapshot, seq, data: <job>}`, then come the events. " +
          "`?after=<seq>`, or the message `{type: resume, after}`, also brings the events since then.",
      },
      handle(call) {
        const { job_id } = call.params;
        const { keyId } = owned(jobs, call.principal, job_id);
        refuseWhenStopping();
        if (sockets.size >= maxSockets) {
          const message = `${maxSockets} sockets are open, which is the limit`;
          throw new GatewayError("QUEUE_FULL", message, { retryAfterMs: 5_000 });
        }
        const handlers = sockets.handlers({
          hub: jobs.hub,
          keyId: call.principal?.keyId ?? keyId,
          after: call.query.after,
          job: () => {
            const row = jobs.get(job_id);
            return row && jobs.wire(row);
          },
        });
        if (call.connection.upgrade(handlers, call.protocol)) return new Response(null);
        throw new GatewayError(
          "BAD_REQUEST",
          "This path is a WebSocket; send `Upgrade: websocket`",
        );
      },
    });
  }

  const cancel = async (call: Call<{ job_id: string }, unknown, unknown>) => {
    const { job_id } = call.params;
    owned(jobs, call.principal, job_id);
    return jobs.wire(await jobs.cancel(job_id, "Cancelled by request"));
  };

  return [
    route({
      method: "GET",
      path: "/jobs",
      policy: { access: "jobs:read" },
      query: listQuery,
      docs: {
        tag: TAG,
        summary: "List jobs, newest first",
        data: t.Object({
          items: t.Array(jobSchema),
          next_cursor: t.Union([t.String(), t.Null()]),
          has_more: t.Boolean(),
        }),
      },
      handle({ query, principal }) {
        if (query.all && !principal?.scopes.has("jobs:admin")) {
          throw new GatewayError("FORBIDDEN_SCOPE", "`all` needs the scope jobs:admin");
        }
        const rows = jobs.list({
          keyId: query.all ? undefined : principal?.keyId,
          status: query.status?.split(",") as (typeof STATUSES)[number][] | undefined,
          capability: query.capability,
          backend: query.backend,
          tag: query.tag,
          sinceMs: query.since === undefined ? undefined : Date.parse(query.since),
          after: query.after,
          limit: query.limit + 1,
        });
        const items = rows.slice(0, query.limit).map(jobs.wire);
        const hasMore = rows.length > query.limit;
        const next = hasMore ? (items.at(-1)?.job_id ?? null) : null;
        return { items, next_cursor: next, has_more: hasMore };
      },
    }),
    route({
      method: "GET",
      path: "/jobs/:job_id",
      policy: { access: "jobs:read" },
      params: idParams,
      docs: { tag: TAG, summary: "Read a job", data: jobSchema },
      handle: (call) => jobs.wire(owned(jobs, call.principal, call.params.job_id)),
    }),
    route({
      method: "GET",
      path: "/jobs/:job_id/explain",
      policy: { access: "jobs:read" },
      params: idParams,
      docs: {
        tag: TAG,
        summary: "Why a job waits, or where it is",
        description:
          "Of a waiting job: what it waits for, its place in the order of dispatch, each place where " +
          "it could run with what would have to leave there, and when it may start (null rather than " +
          "a guess). Of any other job: what it does or how it ended, where, and since when.",
        data: explanationSchema,
      },
      handle: (call) => explanationOf(owned(jobs, call.principal, call.params.job_id), options),
    }),
    route({
      method: "DELETE",
      path: "/jobs/:job_id",
      policy: { access: "jobs:cancel" },
      params: idParams,
      query: t.Object({
        purge: t.Optional(t.Boolean({ description: "Remove a finished job and its artifacts." })),
      }),
      docs: {
        tag: TAG,
        summary: "Cancel a job, or remove a finished one",
        description:
          "A pending or running job is `cancelled` at once. A job that has ended answers 409 with the " +
          "job in `details`; with `?purge=true` it is removed together with its artifacts.",
        data: jobSchema,
      },
      async handle(call) {
        if (!call.query.purge) return cancel(call);
        const row = owned(jobs, call.principal, call.params.job_id);
        await jobs.purge(row.id);
        return jobs.wire(row);
      },
    }),
    route({
      method: "POST",
      path: "/jobs/:job_id/cancel",
      policy: { access: "jobs:cancel" },
      params: idParams,
      docs: { tag: TAG, summary: "Cancel a job", data: jobSchema },
      handle: cancel,
    }),
    route({
      method: "GET",
      path: "/jobs/:job_id/events",
      policy: { access: "jobs:read", ticket: true },
      params: idParams,
      query: afterQuery,
      docs: {
        tag: TAG,
        summary: "Watch a job as Server-Sent Events",
        description:
          "All events from the first, or those after `Last-Event-ID` or `?after=`. 204 when the job " +
          "has ended and nothing comes after that.",
      },
      handle(call) {
        const row = owned(jobs, call.principal, call.params.job_id);
        const after = lastEventId(call.request) ?? call.query.after ?? 0;
        // To a browser's EventSource, which comes again after every end, this says: there is no
        // more.
        if (isTerminal(row.status) && after >= row.seq) return new Response(null, { status: 204 });
        refuseWhenStopping();
        const unknown = after > row.seq;
        return streams.open({
          hub: jobs.hub,
          jobId: row.id,
          keyId: call.principal?.keyId ?? row.keyId,
          after: unknown ? row.seq : after,
          reset: unknown ? jobs.wire(row) : undefined,
          connection: call.connection,
        });
      },
    }),
    route({
      method: "GET",
      path: "/jobs/:job_id/preview",
      policy: { access: "jobs:read", ticket: true },
      params: idParams,
      docs: { tag: TAG, summary: "The newest unfinished picture of a running job" },
      handle(call) {
        const row = owned(jobs, call.principal, call.params.job_id);
        const preview = jobs.previews.get(row.id);
        if (!preview) throw new GatewayError("NOT_FOUND", `Job ${row.id} has no preview now`);
        return new Response(new Uint8Array(preview.image), {
          headers: { "content-type": preview.mediaType, "cache-control": "no-store" },
        });
      },
    }),
    socket("/ws/jobs/:job_id"),
    socket("/jobs/ws/jobs/:job_id"),
  ];
}

/** `Last-Event-ID` as a browser sends it when it reconnects. */
function lastEventId(request: Request): number | undefined {
  const header = request.headers.get("last-event-id");
  return header !== null && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}
