-- A credential that its provider takes no more is parked: no call is made with it, and the jobs that have no other wait until it
-- is renewed. Both happen in the statement that parks or renews it, so neither can be lost in between.

-- Since when and why, JSON; none while it is used.
ALTER TABLE credentials ADD COLUMN parked TEXT CHECK (parked IS NULL OR json_type(parked) = 'object');

-- Names of the credentials that a job's calls are made with, separated by commas. Read out of its file when it is submitted.
ALTER TABLE jobs ADD COLUMN credentials TEXT CHECK (length(credentials) BETWEEN 1 AND 2000);
-- What was parked that its calls wait for, JSON. Never of a finished job.
ALTER TABLE jobs ADD COLUMN parked TEXT CHECK (parked IS NULL OR finished_at_ms IS NULL);

CREATE INDEX jobs_with_credentials ON jobs (tenant) WHERE finished_at_ms IS NULL AND credentials IS NOT NULL;

-- One that may be used is enough; the last one parked is told of.
CREATE TRIGGER credentials_park_jobs AFTER UPDATE OF parked ON credentials
WHEN OLD.parked IS NOT NULL OR NEW.parked IS NOT NULL
BEGIN
    UPDATE jobs SET parked = (
        SELECT iif(count(*) = count(held.parked), max(iif(held.name = NEW.name, held.parked, NULL)), NULL)
        FROM credentials AS held
        WHERE held.tenant = NEW.tenant AND instr(',' || jobs.credentials || ',', ',' || held.name || ',') > 0)
    WHERE tenant = NEW.tenant AND finished_at_ms IS NULL AND credentials IS NOT NULL
        AND instr(',' || credentials || ',', ',' || NEW.name || ',') > 0 AND (parked IS NULL) = (NEW.parked IS NOT NULL);
END;

CREATE TRIGGER credentials_leave_jobs AFTER DELETE ON credentials
WHEN OLD.parked IS NOT NULL
BEGIN
    UPDATE jobs SET parked = NULL
    WHERE tenant = OLD.tenant AND finished_at_ms IS NULL AND credentials IS NOT NULL
        AND instr(',' || credentials || ',', ',' || OLD.name || ',') > 0;
END;

-- Its owner is told, as of a job's end.
DROP TRIGGER jobs_finish_notice;
DROP INDEX notices_due;
ALTER TABLE notices RENAME TO notices_of_ends;

CREATE TABLE notices (
    job_id         BLOB    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    event          TEXT    NOT NULL CHECK (event IN ('succeeded', 'failed', 'cancelled', 'credential_parked')),
    -- When it happened: a job that is tried again finishes again.
    at_ms          INTEGER NOT NULL,
    state          TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'given_up')),
    -- Attempts that were begun.
    attempts       INTEGER NOT NULL DEFAULT 0,
    -- When the next attempt may begin; while one is made, when it is taken for lost.
    due_at_ms      INTEGER NOT NULL,
    ended_at_ms    INTEGER,
    -- What came of the last attempt, for people.
    last           TEXT             CHECK (length(last) <= 500),
    -- What was parked, JSON.
    parked         TEXT             CHECK ((parked IS NOT NULL) = (event = 'credential_parked')),
    PRIMARY KEY (job_id, event, at_ms),
    CHECK ((state = 'waiting') = (ended_at_ms IS NULL))
) WITHOUT ROWID;

INSERT INTO notices (job_id, event, at_ms, state, attempts, due_at_ms, ended_at_ms, last)
SELECT job_id, event, finished_at_ms, state, attempts, due_at_ms, ended_at_ms, last FROM notices_of_ends;
DROP TABLE notices_of_ends;

CREATE INDEX notices_due ON notices (due_at_ms) WHERE state = 'waiting';

CREATE TRIGGER jobs_finish_notice AFTER UPDATE OF finished_at_ms ON jobs
WHEN OLD.finished_at_ms IS NULL AND NEW.finished_at_ms IS NOT NULL AND NEW.notify IS NOT NULL
    AND instr(',' || NEW.notify || ',', ',' || NEW.state || ',') > 0
BEGIN
    INSERT INTO notices (job_id, event, at_ms, due_at_ms)
    VALUES (NEW.id, NEW.state, NEW.finished_at_ms, NEW.finished_at_ms)
    ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER jobs_park_notice AFTER UPDATE OF parked ON jobs
WHEN OLD.parked IS NULL AND NEW.parked IS NOT NULL AND NEW.notify IS NOT NULL
    AND instr(',' || NEW.notify || ',', ',credential_parked,') > 0
BEGIN
    INSERT INTO notices (job_id, event, at_ms, due_at_ms, parked)
    VALUES (NEW.id, 'credential_parked', NEW.parked ->> 'since_ms', NEW.parked ->> 'since_ms', NEW.parked)
    ON CONFLICT DO NOTHING;
END;
