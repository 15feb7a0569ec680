-- How far runs of a job have seen what its fetches ask for, so that a later run can take only what is new.
-- Values are texts whose bytes sort as what they stand for does, after a letter for its kind; so "C" everywhere.

CREATE TABLE marks (
    tenant      TEXT   NOT NULL CHECK (char_length(tenant) BETWEEN 1 AND 64),
    -- Of the jobs: what is submitted again is known by its name.
    job_name    TEXT   NOT NULL COLLATE "C" CHECK (char_length(job_name) <= 200),
    -- Derived from step, parameters, and what else decides what a fetch brings.
    id          UUID   NOT NULL,
    -- For people.
    step        TEXT   NOT NULL CHECK (char_length(step) <= 64),
    params      TEXT   NOT NULL CHECK (octet_length(params) <= 16384),
    value       TEXT   NOT NULL COLLATE "C" CHECK (octet_length(value) BETWEEN 1 AND 1024),
    -- The job that has seen it. It may be pruned since.
    job_id      UUID   NOT NULL,
    moved_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, job_name, id)
);

-- It takes only what is new.
ALTER TABLE jobs ADD COLUMN extend BOOLEAN NOT NULL DEFAULT false;
-- The mark of what it asks for, if that can be told; and the value it began from, which stays, whatever becomes of the
-- mark.
ALTER TABLE fetches ADD COLUMN mark_id UUID;
ALTER TABLE fetches ADD COLUMN since TEXT COLLATE "C" CHECK (since IS NULL OR mark_id IS NOT NULL);
CREATE INDEX fetches_marked ON fetches (job_id) WHERE mark_id IS NOT NULL;
-- The page's highest value. By the index the highest and the lowest of a fetch are found without its pages.
ALTER TABLE pages ADD COLUMN top TEXT COLLATE "C" CHECK (octet_length(top) BETWEEN 1 AND 1024);
CREATE INDEX pages_tops ON pages (fetch_seq, top) WHERE top IS NOT NULL;
