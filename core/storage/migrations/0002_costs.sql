-- What the VRAM scheduler has learned; see core/vram/costs. Nothing here is a promise to a client.
CREATE TABLE costs (
  backend TEXT NOT NULL,
  model TEXT NOT NULL,
  -- log2 of the request's size; -1 holds what is known of the model over all sizes.
  bucket INTEGER NOT NULL,
  evidence TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (backend, model, bucket)
) STRICT, WITHOUT ROWID;
