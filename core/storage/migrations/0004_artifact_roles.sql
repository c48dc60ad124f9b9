-- What a file is to its job: made by it, a look at what it made, or sent with the request.
ALTER TABLE artifacts ADD COLUMN role TEXT NOT NULL DEFAULT 'output'
  CHECK (role IN ('output', 'preview', 'input'));
-- Whose bytes it has: its own, or those of an earlier artifact that a request named. The bytes go
-- with the last row that has them.
ALTER TABLE artifacts ADD COLUMN blob_id TEXT NOT NULL DEFAULT '';
UPDATE artifacts SET blob_id = id;
CREATE INDEX artifacts_by_blob ON artifacts (blob_id);
