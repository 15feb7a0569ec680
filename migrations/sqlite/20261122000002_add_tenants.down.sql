DROP INDEX fetches_below;
DROP INDEX jobs_of_tenant;
DROP INDEX jobs_by_key;
ALTER TABLE jobs DROP COLUMN body_hash;
ALTER TABLE jobs DROP COLUMN idempotency_key;
ALTER TABLE jobs DROP COLUMN tenant;
