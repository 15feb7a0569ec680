-- What is told of a job that has finished, to the address that its job file names under `notify`.
-- A row is made by whatever finishes the job, in its transaction: no process that dies in between loses it.

-- The ends that the job's file names, separated by commas. Read out of the file when the job is submitted: the trigger looks
-- at columns only, so nothing that stands in a file can keep a job from finishing.
ALTER TABLE jobs ADD COLUMN notify TEXT CHECK (length(notify) BETWEEN 1 AND 64);

CREATE TABLE notices (
    job_id         BLOB    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    event          TEXT    NOT NULL CHECK (event IN ('succeeded', 'failed', 'cancelled')),
    -- When the job finished: one that is tried again finishes again.
    finished_at_ms INTEGER NOT NULL,
    state          TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'given_up')),
    -- Attempts that were begun.
    attempts       INTEGER NOT NULL DEFAULT 0,
    -- When the next attempt may begin; while one is made, when it is taken for lost.
    due_at_ms      INTEGER NOT NULL,
    ended_at_ms    INTEGER,
    -- What came of the last attempt, for people.
    last           TEXT             CHECK (length(last) <= 500),
    PRIMARY KEY (job_id, event, finished_at_ms),
    CHECK ((state = 'waiting') = (ended_at_ms IS NULL))
) WITHOUT ROWID;

CREATE INDEX notices_due ON notices (due_at_ms) WHERE state = 'waiting';

CREATE TRIGGER jobs_finish_notice AFTER UPDATE OF finished_at_ms ON jobs
WHEN OLD.finished_at_ms IS NULL AND NEW.finished_at_ms IS NOT NULL AND NEW.notify IS NOT NULL
    AND instr(',' || NEW.notify || ',', ',' || NEW.state || ',') > 0
BEGIN
    INSERT INTO notices (job_id, event, finished_at_ms, due_at_ms)
    VALUES (NEW.id, NEW.state, NEW.finished_at_ms, NEW.finished_at_ms)
    ON CONFLICT DO NOTHING;
END;
