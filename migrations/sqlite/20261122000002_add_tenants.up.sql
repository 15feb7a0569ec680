-- Whose a job is, and under which key it was submitted.

ALTER TABLE jobs ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default' CHECK (length(tenant) BETWEEN 1 AND 64);
ALTER TABLE jobs ADD COLUMN idempotency_key TEXT CHECK (length(idempotency_key) BETWEEN 1 AND 255);
-- SHA-256 of what was submitted under the key, hexadecimal.
ALTER TABLE jobs ADD COLUMN body_hash TEXT
    CHECK ((body_hash IS NULL) = (idempotency_key IS NULL) AND length(body_hash) = 64);

CREATE UNIQUE INDEX jobs_by_key ON jobs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_of_tenant ON jobs (tenant);

-- For showing the tree level by level.
CREATE INDEX fetches_below ON fetches (job_id, parent_id);
