/** Leases of external programs: ask, renew, give back. */
import { Type as t } from "@sinclair/typebox";
import { GatewayError } from "../errors.ts";
import { Reply, type Route, route } from "../http/route.ts";
import type { Leases } from "./leases.ts";
import { leaseToWire } from "./report.ts";
import { leaseAskSchema, leaseSchema, leasesSchema, renewSchema } from "./schema.ts";

const MAX_WAIT_S = 60;
const DEFAULT_PRIORITY = 5;

export function leaseRoutes(
  leases: Leases,
  /** Whether the key may see and end everybody's leases. */
  isAdmin: (scopes: ReadonlySet<string>) => boolean,
): Route[] {
  const id = t.Object({ lease_id: t.String({ format: "uuid" }) });

  function own(
    principal: { readonly keyId: string; readonly scopes: ReadonlySet<string> } | undefined,
    leaseId: string,
  ) {
    const lease = leases.get(leaseId);
    const mine = principal && (lease?.keyId === principal.keyId || isAdmin(principal.scopes));
    if (lease && mine) return lease;
    throw new GatewayError("NOT_FOUND", `No lease ${leaseId}; it may have expired`);
  }

  return [
    route({
      method: "POST",
      path: "/leases",
      policy: { access: "gpu:lease" },
      body: leaseAskSchema,
      docs: {
        tag: "gpu",
        summary: "Ask for GPU memory for a program of your own: a game, a training script",
        description:
          "Models that nobody uses leave until there is room. Answers 201 when granted, 202 while " +
          "it waits; `Prefer: wait=N` (at most 60) waits up to N seconds for the grant. Renew it " +
          "before it expires, also while it waits, and DELETE it when done.",
        status: 201,
        data: leaseSchema,
        exampleBody: { name: "blender", mib: 10_000, ttl_s: 60, heavy: true },
      },
      async handle({ body, principal, request, connection }) {
        if (!principal) throw new GatewayError("UNAUTHORIZED");
        const asked = leases.ask({
          keyId: principal.keyId,
          name: body.name,
          device: body.device,
          mib: body.mib,
          heavy: body.heavy,
          pid: body.pid,
          ttlMs: body.ttl_s * 1_000,
          priority: body.priority ?? DEFAULT_PRIORITY,
        });
        const waitS = waitOf(request);
        const headers = { location: `/leases/${asked.id}` };
        if (waitS > 0) connection.keepOpen();
        const lease = await leases.settled(asked.id, waitS * 1_000, request.signal);
        // Nobody learns its name any more, to renew it or to give it back.
        if (request.signal.aborted) leases.release(asked.id);
        const status = lease?.state === "granted" ? 201 : 202;
        return new Reply(leaseToWire(lease ?? asked), status, headers);
      },
    }),
    route({
      method: "GET",
      path: "/leases",
      policy: { access: "gpu:lease" },
      docs: { tag: "gpu", summary: "Your leases; everybody's with gpu:admin", data: leasesSchema },
      handle: ({ principal }) => ({
        leases: leases
          .list()
          .filter(
            ({ keyId }) => principal && (keyId === principal.keyId || isAdmin(principal.scopes)),
          )
          .map(leaseToWire),
      }),
    }),
    route({
      method: "GET",
      path: "/leases/:lease_id",
      policy: { access: "gpu:lease" },
      params: id,
      docs: {
        tag: "gpu",
        summary: "One lease",
        description:
          "`Prefer: wait=N` (at most 60) waits up to N seconds for the grant. A lease that has ended " +
          "is 404.",
        data: leaseSchema,
      },
      async handle({ params, principal, request, connection }) {
        own(principal, params.lease_id);
        const waitS = waitOf(request);
        if (waitS > 0) connection.keepOpen();
        const lease = await leases.settled(params.lease_id, waitS * 1_000, request.signal);
        return leaseToWire(lease ?? own(principal, params.lease_id));
      },
    }),
    route({
      method: "POST",
      path: "/leases/:lease_id/renew",
      policy: { access: "gpu:lease" },
      params: id,
      body: renewSchema,
      docs: {
        tag: "gpu",
        summary: "Start a lease's time anew",
        description: "Send {} to keep its time as it was asked for. Renew it also while it waits.",
        data: leaseSchema,
        exampleBody: { ttl_s: 60 },
      },
      handle({ params, principal, body }) {
        const { id: leaseId } = own(principal, params.lease_id);
        const ttlMs = body.ttl_s === undefined ? undefined : body.ttl_s * 1_000;
        const lease = leases.renew(leaseId, ttlMs);
        if (!lease) throw new GatewayError("NOT_FOUND", `Lease ${leaseId} has expired`);
        return leaseToWire(lease);
      },
    }),
    route({
      method: "DELETE",
      path: "/leases/:lease_id",
      policy: { access: "gpu:lease" },
      params: id,
      docs: { tag: "gpu", summary: "Give a lease back", data: leaseSchema },
      handle({ params, principal }) {
        const lease = own(principal, params.lease_id);
        leases.release(lease.id);
        return leaseToWire({ ...lease, state: "ended" });
      },
    }),
  ];
}

/** Seconds of `Prefer: wait=N` (RFC 7240), at most 60; 0 without. */
function waitOf(request: Request): number {
  const seconds = /\bwait=(\d{1,6})\b/.exec(request.headers.get("prefer") ?? "")?.[1];
  return Math.min(Number(seconds ?? 0), MAX_WAIT_S);
}
