-- Times are wall-clock milliseconds since 1970. JSON columns hold text.
CREATE TABLE keys (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  hash BLOB NOT NULL,
  scopes TEXT NOT NULL,
  limits TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  created_by TEXT,
  expires_at INTEGER,
  last_used_at INTEGER,
  revoked_at INTEGER,
  previous_hash BLOB,
  previous_expires_at INTEGER
) STRICT;

CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  key_id TEXT NOT NULL,
  capability TEXT NOT NULL,
  backend TEXT NOT NULL,
  model TEXT,
  device TEXT,
  status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
  phase TEXT CHECK (phase IN ('queued', 'loading', 'generating', 'collecting')),
  priority INTEGER NOT NULL,
  -- Every grant and every cancel adds 1; a write that names an older epoch changes nothing.
  epoch INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  -- Executions in a row that did not end in order: each began and then the gateway's process died.
  crashes INTEGER NOT NULL DEFAULT 0,
  -- Number of the newest event; the log has no gap.
  seq INTEGER NOT NULL,
  input TEXT NOT NULL,
  output TEXT,
  error TEXT,
  progress TEXT,
  tag TEXT,
  retried_from TEXT,
  start_by INTEGER,
  run_after INTEGER,
  timeout_ms INTEGER,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  -- Never goes back, whatever the wall clock does.
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX jobs_active ON jobs (status) WHERE status IN ('pending', 'running');
CREATE INDEX jobs_by_key ON jobs (key_id, id);
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

CREATE TRIGGER jobs_terminal_is_final BEFORE UPDATE ON jobs
WHEN OLD.status IN ('completed', 'failed', 'cancelled') AND NEW.status <> OLD.status
BEGIN
  SELECT RAISE(ABORT, 'a finished job never changes its status');
END;

CREATE TABLE job_events (
  job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  type TEXT NOT NULL,
  data TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (job_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_steps (
  job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (job_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
  key_id TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  -- Of what the first request made: a job's id, for example.
  resource_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (key_id, idempotency_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_age ON idempotency (created_at);

CREATE TABLE artifacts (
  id TEXT PRIMARY KEY,
  job_id TEXT NOT NULL,
  key_id TEXT NOT NULL,
  name TEXT NOT NULL,
  media_type TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  metadata TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER
) STRICT;

CREATE INDEX artifacts_by_job ON artifacts (job_id);
CREATE INDEX artifacts_by_expiry ON artifacts (expires_at) WHERE expires_at IS NOT NULL;
