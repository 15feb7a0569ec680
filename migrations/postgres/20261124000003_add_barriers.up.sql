-- What a fetch waits for (`after`): its calls are held until the blockers are finished. Rows stay, for when the job is
-- tried again.
CREATE TABLE barriers (
    fetch_id   UUID NOT NULL,
    blocker_id UUID NOT NULL CHECK (blocker_id <> fetch_id),
    job_id     UUID NOT NULL,
    PRIMARY KEY (fetch_id, blocker_id)
);

CREATE INDEX barriers_by_blocker ON barriers (blocker_id);
CREATE INDEX barriers_of_job ON barriers (job_id);

-- Blockers that are not finished.
ALTER TABLE fetches ADD COLUMN blockers_open BIGINT NOT NULL DEFAULT 0
    CHECK (blockers_open >= 0 AND (blockers_open = 0 OR finished_at_ms IS NULL));
-- Calls of it, and of finished fetches below it, that failed untolerated, or were not made because a blocker was spoiled.
ALTER TABLE fetches ADD COLUMN spoiled BIGINT NOT NULL DEFAULT 0 CHECK (spoiled >= 0);

-- Planned, and not to be released: its fetch waits.
ALTER TABLE calls ADD COLUMN held BOOLEAN NOT NULL DEFAULT false CHECK (NOT held OR state = 'planned');
ALTER TABLE jobs ADD COLUMN calls_held BIGINT NOT NULL DEFAULT 0
    CHECK (calls_held >= 0 AND calls_released + calls_held <= calls_open);

DROP INDEX calls_planned;
CREATE INDEX calls_planned ON calls (job_id, held, seq) WHERE state = 'planned';
CREATE INDEX calls_held ON calls (fetch_id) WHERE held;
