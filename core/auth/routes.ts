/** The routes of keys and tickets. */
import { Reply, type Route, route } from "../http/mod.ts";
import type { Auth } from "./auth.ts";
import { unauthorized } from "./guard.ts";
import { invalid, type MintedKey } from "./minting.ts";
import type { Principal } from "./principal.ts";
import * as schema from "./schema.ts";

const TAG = "keys";
const EXAMPLE_LIMITS = { requests_per_minute: 600, active_jobs: 100, gpu_weight: 1 };
const EXAMPLE_KEY = {
  id: "4fT9kQ2x",
  name: "mobile-app",
  scopes: ["generate:image", "tts", "jobs:read", "jobs:cancel"],
  limits: EXAMPLE_LIMITS,
  created_at: "2026-11-23T03:52:00.000Z",
  created_by: "bootstrap",
  expires_at: null,
  last_used_at: null,
  revoked_at: null,
  previous_secret_until: null,
};
// Built from parts, so that secret scanners do not take the documentation for a leak.
const EXAMPLE_CREATED = {
  key: ["sy", "4fT9kQ2x", "<32 + 6 characters>"].join("_"),
  ...EXAMPLE_KEY,
};

export function authRoutes(auth: Auth): Route[] {
  return [...keyRoutes(auth), ...ownRoutes(auth)];
}

function keyRoutes(auth: Auth): Route[] {
  const created = ({ text, row }: MintedKey, status: number) =>
    new Reply({ key: text, ...schema.keyJson(row, auth.defaultLimits) }, status, {
      Location: `/auth/keys/${row.id}`,
    });

  return [
    route({
      method: "POST",
      path: "/auth/keys",
      policy: { access: "bootstrap" },
      body: schema.newKeyBody,
      docs: {
        tag: TAG,
        summary: "Create a key; it is shown this once.",
        description:
          "The first key (preset `admin`) needs no key: from the gateway's own machine, shortly after " +
          "its start, while no key exists. Later keys (preset `client`) are made with a key: never " +
          "with more scopes or a later end than that key has. Made without `keys:admin` they are " +
          "sub-keys: not above that key's limits, at most 32, sharing its request rate and revoked " +
          "with it. `Idempotency-Key` is not supported here: replaying the answer would mean keeping " +
          "the key. When an answer was lost, revoke the key and create another.",
        data: schema.createdKeyView,
        status: 201,
        exampleBody: { name: "mobile-app" },
        exampleData: EXAMPLE_CREATED,
      },
      async handle({ body, principal, request, connection }) {
        const wishes = schema.wishesOf(body, auth.clock.nowMs());
        const minted = principal
          ? await auth.keys.create(wishes, principal)
          : await auth.keys.createFirst(wishes, request, connection.peer);
        return created(minted, 201);
      },
    }),
    route({
      method: "GET",
      path: "/auth/keys",
      policy: { access: "keys:admin" },
      query: schema.pageQuery,
      docs: {
        tag: TAG,
        summary: "List all keys, newest first, without their secrets.",
        data: schema.keyListView,
        exampleData: { items: [EXAMPLE_KEY], next_cursor: null, has_more: false },
      },
      handle({ query: { limit = 50, after } }) {
        const rows = auth.keys.page(limit + 1, after);
        const items = rows.slice(0, limit).map((row) => schema.keyJson(row, auth.defaultLimits));
        const hasMore = rows.length > limit;
        return {
          items,
          next_cursor: hasMore ? (items.at(-1)?.id ?? null) : null,
          has_more: hasMore,
        };
      },
    }),
    route({
      method: "GET",
      path: "/auth/keys/:id",
      policy: { access: "any" },
      params: schema.keyParams,
      docs: {
        tag: TAG,
        summary: "Show a key: your own, one of its sub-keys, or any with `keys:admin`.",
        data: schema.keyView,
        exampleData: EXAMPLE_KEY,
      },
      handle: ({ params, principal }) =>
        schema.keyJson(auth.keys.get(params.id, present(principal)), auth.defaultLimits),
    }),
    route({
      method: "DELETE",
      path: "/auth/keys/:id",
      policy: { access: "any" },
      params: schema.keyParams,
      docs: {
        tag: TAG,
        summary: "Revoke a key and its sub-keys: your own, a sub-key, or any with `keys:admin`.",
        description: "Open sockets of the key are closed with 4401 within a second.",
        data: schema.keyView,
        exampleData: { ...EXAMPLE_KEY, revoked_at: "2026-11-24T08:00:00.000Z" },
      },
      async handle({ params, principal }) {
        const row = await auth.keys.revoke(params.id, present(principal));
        return schema.keyJson(row, auth.defaultLimits);
      },
    }),
    route({
      method: "POST",
      path: "/auth/keys/:id/rotate",
      policy: { access: "any" },
      params: schema.keyParams,
      body: schema.rotateBody,
      docs: {
        tag: TAG,
        summary: "Give a key a new secret; the old one works until the grace ends.",
        description: "Same id, scopes, limits and end. Only the newest and the one before it work.",
        data: schema.createdKeyView,
        exampleBody: { grace_ms: schema.DEFAULT_GRACE_MS },
        exampleData: EXAMPLE_CREATED,
      },
      async handle({ params, body, principal }) {
        const graceMs = body.grace_ms ?? schema.DEFAULT_GRACE_MS;
        return created(await auth.keys.rotate(params.id, graceMs, present(principal)), 200);
      },
    }),
  ];
}

function ownRoutes(auth: Auth): Route[] {
  return [
    route({
      method: "GET",
      path: "/auth/me",
      policy: { access: "any" },
      docs: {
        tag: TAG,
        summary: "Show the key that asks: what it may do, its limits and its end.",
        data: schema.ownKeyView,
        exampleData: {
          id: EXAMPLE_KEY.id,
          name: EXAMPLE_KEY.name,
          scopes: EXAMPLE_KEY.scopes,
          limits: EXAMPLE_LIMITS,
          expires_at: null,
        },
      },
      handle({ principal }) {
        const { keyId, name, scopes, limits, expiresAtMs } = present(principal);
        return {
          id: keyId,
          name,
          scopes: [...scopes],
          limits: schema.limitsJson(limits),
          expires_at: schema.isoOrNull(expiresAtMs),
        };
      },
    }),
    route({
      method: "POST",
      path: "/auth/ws-ticket",
      policy: { access: "any" },
      body: schema.ticketBody,
      docs: {
        tag: TAG,
        summary: "Get a single-use ticket for a browser's socket, event stream or download.",
        description:
          "Use it within 30 s as `?ticket=`: for `job_id` on the job's WebSocket or event stream, " +
          "for `path` on exactly that path. It works once, and on the page that asked for it.",
        data: schema.ticketView,
        status: 201,
        exampleBody: { job_id: "0199f3a2-7c1e-7d4b-9a53-2f6c1b8e4d10" },
        exampleData: { ticket: "<32 characters>", expires_at: "2026-11-23T03:52:30.000Z" },
      },
      handle({ body: { job_id: jobId, path }, principal, request }) {
        if ((jobId === undefined) === (path === undefined)) {
          throw invalid("job_id", "Give exactly one of `job_id` and `path`");
        }
        const target = path ?? `/ws/jobs/${jobId}`;
        const origin = request.headers.get("origin");
        const { ticket, expiresAtMs } = auth.issueTicket(present(principal), target, origin);
        return new Reply({ ticket, expires_at: new Date(expiresAtMs).toISOString() }, 201);
      },
    }),
  ];
}

/** The guard lets nobody without a key reach these routes; should it ever, they still refuse. */
function present(principal: Principal | undefined): Principal {
  if (principal) return principal;
  throw unauthorized("Send a key in the X-API-Key header.");
}
