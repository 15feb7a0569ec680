-- What a fetch waits for (`after`): its calls are held until the blockers are finished. Rows stay, for when the job is
-- tried again.
CREATE TABLE barriers (
    fetch_id   BLOB NOT NULL CHECK (length(fetch_id) = 16),
    blocker_id BLOB NOT NULL CHECK (length(blocker_id) = 16 AND blocker_id <> fetch_id),
    job_id     BLOB NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    PRIMARY KEY (fetch_id, blocker_id)
) WITHOUT ROWID;

CREATE INDEX barriers_by_blocker ON barriers (blocker_id);
CREATE INDEX barriers_of_job ON barriers (job_id);

-- Blockers that are not finished.
ALTER TABLE fetches ADD COLUMN blockers_open INTEGER NOT NULL DEFAULT 0
    CHECK (blockers_open >= 0 AND (blockers_open = 0 OR finished_at_ms IS NULL));
-- Calls of it, and of finished fetches below it, that failed untolerated, or were not made because a blocker was spoiled.
ALTER TABLE fetches ADD COLUMN spoiled INTEGER NOT NULL DEFAULT 0 CHECK (spoiled >= 0);

-- Planned, and not to be released: its fetch waits.
ALTER TABLE calls ADD COLUMN held INTEGER NOT NULL DEFAULT 0 CHECK (held = 0 OR (held = 1 AND state = 'planned'));
ALTER TABLE jobs ADD COLUMN calls_held INTEGER NOT NULL DEFAULT 0
    CHECK (calls_held >= 0 AND calls_released + calls_held <= calls_open);

DROP INDEX calls_planned;
CREATE INDEX calls_planned ON calls (job_id, held) WHERE state = 'planned';
CREATE INDEX calls_held ON calls (fetch_id) WHERE held = 1;
-- Those that were given up are shown as well, with the reason.
DROP INDEX calls_failed;
CREATE INDEX calls_failed ON calls (job_id) WHERE state IN ('skipped', 'failed', 'cancelled');
