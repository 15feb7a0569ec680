-- How far runs of a job have seen what its fetches ask for, so that a later run can take only what is new.
-- Values are texts whose bytes sort as what they stand for does, after a letter for its kind.

CREATE TABLE marks (
    tenant      TEXT    NOT NULL CHECK (length(tenant) BETWEEN 1 AND 64),
    -- Of the jobs: what is submitted again is known by its name.
    job_name    TEXT    NOT NULL CHECK (length(job_name) <= 200),
    -- Derived from step, parameters, and what else decides what a fetch brings.
    id          BLOB    NOT NULL CHECK (length(id) = 16),
    -- For people.
    step        TEXT    NOT NULL CHECK (length(step) <= 64),
    params      TEXT    NOT NULL,
    value       TEXT    NOT NULL CHECK (length(value) BETWEEN 1 AND 1024),
    -- The job that has seen it. It may be pruned since.
    job_id      BLOB    NOT NULL,
    moved_at_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, job_name, id)
) WITHOUT ROWID;

-- It takes only what is new.
ALTER TABLE jobs ADD COLUMN extend INTEGER NOT NULL DEFAULT 0 CHECK (extend IN (0, 1));
-- The mark of what it asks for, if that can be told; and the value it began from, which stays, whatever becomes of the
-- mark.
ALTER TABLE fetches ADD COLUMN mark_id BLOB CHECK (length(mark_id) = 16);
ALTER TABLE fetches ADD COLUMN since TEXT CHECK (since IS NULL OR mark_id IS NOT NULL);
CREATE INDEX fetches_marked ON fetches (job_id) WHERE mark_id IS NOT NULL;
-- The page's highest value. By the index the highest and the lowest of a fetch are found without its pages.
ALTER TABLE pages ADD COLUMN top TEXT CHECK (length(top) BETWEEN 1 AND 1024);
CREATE INDEX pages_tops ON pages (fetch_seq, top) WHERE top IS NOT NULL;
