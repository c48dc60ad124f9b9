/**
 * The tables, for typed queries. `migrations/` creates them; a test compares the two.
 * Times are wall-clock milliseconds since 1970.
 */
import { blob, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

const json = <T>(name: string) => text(name, { mode: "json" }).$type<T>();
const bytes = (name: string) => blob(name, { mode: "buffer" });

export const keys = sqliteTable("keys", {
  id: text("id").primaryKey(),
  name: text("name").notNull(),
  hash: bytes("hash").notNull(),
  scopes: json<string[]>("scopes").notNull(),
  limits: json<{
    requestsPerMinute?: number;
    activeJobs?: number;
    gpuWeight?: number;
  }>("limits").notNull(),
  createdAt: integer("created_at").notNull(),
  createdBy: text("created_by"),
  expiresAt: integer("expires_at"),
  lastUsedAt: integer("last_used_at"),
  revokedAt: integer("revoked_at"),
  previousHash: bytes("previous_hash"),
  previousExpiresAt: integer("previous_expires_at"),
});

export const jobs = sqliteTable("jobs", {
  id: text("id").primaryKey(),
  keyId: text("key_id").notNull(),
  capability: text("capability").notNull(),
  backend: text("backend").notNull(),
  firstChoice: text("first_choice"),
  model: text("model"),
  device: text("device"),
  status: text("status", {
    enum: ["pending", "running", "completed", "failed", "cancelled"],
  }).notNull(),
  phase: text("phase", { enum: ["queued", "loading", "generating", "collecting"] }),
  priority: integer("priority").notNull(),
  epoch: integer("epoch").notNull(),
  attempts: integer("attempts").notNull(),
  crashes: integer("crashes").notNull(),
  seq: integer("seq").notNull(),
  input: json<Record<string, unknown>>("input").notNull(),
  output: json<unknown>("output"),
  error: json<{ code: string; message: string; details?: Record<string, unknown> }>("error"),
  progress: json<{ value: number | null; note?: string }>("progress"),
  tag: text("tag"),
  retriedFrom: text("retried_from"),
  startBy: integer("start_by"),
  runAfter: integer("run_after"),
  timeoutMs: integer("timeout_ms"),
  createdAt: integer("created_at").notNull(),
  startedAt: integer("started_at"),
  finishedAt: integer("finished_at"),
  updatedAt: integer("updated_at").notNull(),
});

export const jobEvents = sqliteTable(
  "job_events",
  {
    jobId: text("job_id").notNull(),
    seq: integer("seq").notNull(),
    type: text("type").notNull(),
    data: json<Record<string, unknown>>("data").notNull(),
    createdAt: integer("created_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.jobId, table.seq] })],
);

export const jobSteps = sqliteTable(
  "job_steps",
  {
    jobId: text("job_id").notNull(),
    name: text("name").notNull(),
    value: json<unknown>("value").notNull(),
  },
  (table) => [primaryKey({ columns: [table.jobId, table.name] })],
);

export const idempotency = sqliteTable(
  "idempotency",
  {
    keyId: text("key_id").notNull(),
    idempotencyKey: text("idempotency_key").notNull(),
    fingerprint: text("fingerprint").notNull(),
    resourceId: text("resource_id").notNull(),
    createdAt: integer("created_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.keyId, table.idempotencyKey] })],
);

export const artifacts = sqliteTable("artifacts", {
  id: text("id").primaryKey(),
  jobId: text("job_id").notNull(),
  keyId: text("key_id").notNull(),
  name: text("name").notNull(),
  mediaType: text("media_type").notNull(),
  sizeBytes: integer("size_bytes").notNull(),
  sha256: text("sha256").notNull(),
  metadata: json<Record<string, unknown>>("metadata").notNull(),
  createdAt: integer("created_at").notNull(),
  expiresAt: integer("expires_at"),
  role: text("role", { enum: ["output", "preview", "input"] }).notNull(),
  blobId: text("blob_id").notNull(),
});

/** What the VRAM scheduler has learned, as `core/vram/costs` writes it. */
export const costs = sqliteTable(
  "costs",
  {
    backend: text("backend").notNull(),
    model: text("model").notNull(),
    bucket: integer("bucket").notNull(),
    /** JSON, not parsed here: one corrupt row must not make the others unreadable. */
    evidence: text("evidence").notNull(),
    updatedAt: integer("updated_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.backend, table.model, table.bucket] })],
);
