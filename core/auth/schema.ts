/** What the key routes take and give, as JSON. */
import { Type as t } from "@sinclair/typebox";
import { invalid, type KeyWishes } from "./minting.ts";
import type { KeyLimits } from "./principal.ts";
import { isPreset, PRESETS, SCOPES } from "./scopes.ts";
import type { KeyRow } from "./store.ts";

const MAX_LIFETIME_MS = 100 * 365 * 86_400_000;
export const MAX_GRACE_MS = 30 * 86_400_000;
export const DEFAULT_GRACE_MS = 86_400_000;

const scope = t.Union(SCOPES.map((name) => t.Literal(name)));
const preset = t.Union(
  Object.keys(PRESETS)
    .filter(isPreset)
    .map((name) => t.Literal(name)),
);
const time = (description: string) => t.String({ description });
const timeOrNull = (description: string) => t.Union([t.String(), t.Null()], { description });
const limit = (description: string) => t.Integer({ minimum: 0, maximum: 1_000_000, description });

const limits = t.Object({
  requests_per_minute: limit("0 means unlimited."),
  active_jobs: limit("Jobs that may be pending or running at once; 0 means unlimited."),
  gpu_weight: t.Integer({
    minimum: 1,
    maximum: 100,
    description: "Its part of the GPUs compared with other keys that wait; 1 unless said.",
  }),
});

export const keyName = t.String({
  minLength: 1,
  maxLength: 128,
  pattern: "^[^\\u0000-\\u001f\\u007f]+$",
  description: "What the key is for, without control characters.",
});

export const newKeyBody = t.Object({
  name: keyName,
  preset: t.Optional(preset),
  scopes: t.Optional(t.Array(scope, { minItems: 1, maxItems: SCOPES.length })),
  expires_at: t.Optional(
    t.String({ maxLength: 40, description: "ISO 8601 with a time zone; never when absent." }),
  ),
  expires_in_ms: t.Optional(t.Integer({ minimum: 1_000, maximum: MAX_LIFETIME_MS })),
  limits: t.Optional(t.Partial(limits)),
});

export const rotateBody = t.Object({
  grace_ms: t.Integer({
    default: DEFAULT_GRACE_MS,
    minimum: 0,
    maximum: MAX_GRACE_MS,
    description: "How long the old secret goes on working; 0 when it has leaked.",
  }),
});

export const ticketBody = t.Object({
  job_id: t.Optional(t.String({ minLength: 1, maxLength: 64, pattern: "^[0-9A-Za-z-]+$" })),
  path: t.Optional(
    t.String({
      maxLength: 512,
      pattern: "^/[0-9A-Za-z._~/:@-]*$",
      description: "For example /artifacts/<id>; without query.",
    }),
  ),
});

export const keyParams = t.Object({ id: t.String({ minLength: 1, maxLength: 64 }) });

export const pageQuery = t.Object({
  limit: t.Integer({ default: 50, minimum: 1, maximum: 100 }),
  after: t.Optional(t.String({ minLength: 1, maxLength: 64 })),
});

export const keyView = t.Object({
  id: t.String({ description: "8 characters; safe to log." }),
  name: t.String(),
  scopes: t.Array(t.String()),
  limits,
  created_at: time("ISO 8601"),
  created_by: t.String({
    description: "`bootstrap`, `cli`, `key:<id>`, or `parent:<id>` for a sub-key.",
  }),
  expires_at: timeOrNull("null: never"),
  last_used_at: timeOrNull("Exact to a minute."),
  revoked_at: timeOrNull("null while it is usable"),
  previous_secret_until: timeOrNull("After a rotation: how long the old secret works."),
});

export const createdKeyView = t.Composite([
  t.Object({ key: t.String({ description: "Shown this once." }) }),
  keyView,
]);

export const keyListView = t.Object({
  items: t.Array(keyView),
  next_cursor: t.Union([t.String(), t.Null()]),
  has_more: t.Boolean(),
});

export const ownKeyView = t.Pick(keyView, ["id", "name", "scopes", "limits", "expires_at"]);

export const ticketView = t.Object({ ticket: t.String(), expires_at: time("ISO 8601") });

/** A key as JSON, without anything secret. */
export function keyJson(row: KeyRow, defaults: KeyLimits): typeof keyView.static {
  return {
    id: row.id,
    name: row.name,
    scopes: row.scopes,
    limits: limitsJson({ ...defaults, ...row.limits }),
    created_at: new Date(row.createdAt).toISOString(),
    created_by: row.createdBy ?? "unknown",
    expires_at: isoOrNull(row.expiresAt),
    last_used_at: isoOrNull(row.lastUsedAt),
    revoked_at: isoOrNull(row.revokedAt),
    previous_secret_until: isoOrNull(row.previousExpiresAt),
  };
}

export function limitsJson(own: KeyLimits): typeof limits.static {
  return {
    requests_per_minute: own.requestsPerMinute,
    active_jobs: own.activeJobs,
    gpu_weight: own.gpuWeight ?? 1,
  };
}

export function isoOrNull(timeMs: number | null | undefined): string | null {
  return timeMs === null || timeMs === undefined ? null : new Date(timeMs).toISOString();
}

/** The body of `POST /auth/keys` in the words of the code. */
export function wishesOf(body: typeof newKeyBody.static, nowMs: number): KeyWishes {
  return {
    name: body.name,
    scopes: body.scopes,
    preset: body.preset,
    expiresAtMs: expiryOf(body, nowMs),
    limits: body.limits && {
      ...(body.limits.requests_per_minute !== undefined && {
        requestsPerMinute: body.limits.requests_per_minute,
      }),
      ...(body.limits.active_jobs !== undefined && { activeJobs: body.limits.active_jobs }),
      ...(body.limits.gpu_weight !== undefined && { gpuWeight: body.limits.gpu_weight }),
    },
  };
}

function expiryOf(body: typeof newKeyBody.static, nowMs: number): number | undefined {
  const { expires_at: at, expires_in_ms: inMs } = body;
  if (at !== undefined && inMs !== undefined) {
    throw invalid("expires_in_ms", "Give either `expires_at` or `expires_in_ms`, not both");
  }
  if (inMs !== undefined) return nowMs + inMs;
  if (at === undefined) return undefined;
  // Without a zone the same text would mean another moment on another machine.
  const isIso = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/.test(at);
  const parsed = isIso ? Date.parse(at) : Number.NaN;
  if (Number.isNaN(parsed)) {
    throw invalid("expires_at", `"${at}" is not a time such as 2027-01-31T12:00:00Z`);
  }
  return parsed;
}
