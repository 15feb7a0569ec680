DROP TRIGGER jobs_park_notice;
DROP TRIGGER jobs_finish_notice;
DROP INDEX notices_due;
ALTER TABLE notices RENAME TO notices_of_all;

CREATE TABLE notices (
    job_id         BLOB    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    event          TEXT    NOT NULL CHECK (event IN ('succeeded', 'failed', 'cancelled')),
    finished_at_ms INTEGER NOT NULL,
    state          TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'given_up')),
    attempts       INTEGER NOT NULL DEFAULT 0,
    due_at_ms      INTEGER NOT NULL,
    ended_at_ms    INTEGER,
    last           TEXT             CHECK (length(last) <= 500),
    PRIMARY KEY (job_id, event, finished_at_ms),
    CHECK ((state = 'waiting') = (ended_at_ms IS NULL))
) WITHOUT ROWID;

INSERT INTO notices SELECT job_id, event, at_ms, state, attempts, due_at_ms, ended_at_ms, last
FROM notices_of_all WHERE event <> 'credential_parked';
DROP TABLE notices_of_all;
CREATE INDEX notices_due ON notices (due_at_ms) WHERE state = 'waiting';

CREATE TRIGGER jobs_finish_notice AFTER UPDATE OF finished_at_ms ON jobs
WHEN OLD.finished_at_ms IS NULL AND NEW.finished_at_ms IS NOT NULL AND NEW.notify IS NOT NULL
    AND instr(',' || NEW.notify || ',', ',' || NEW.state || ',') > 0
BEGIN
    INSERT INTO notices (job_id, event, finished_at_ms, due_at_ms)
    VALUES (NEW.id, NEW.state, NEW.finished_at_ms, NEW.finished_at_ms)
    ON CONFLICT DO NOTHING;
END;

DROP TRIGGER credentials_leave_jobs;
DROP TRIGGER credentials_park_jobs;
DROP INDEX jobs_with_credentials;
ALTER TABLE jobs DROP COLUMN parked;
ALTER TABLE jobs DROP COLUMN credentials;
ALTER TABLE credentials DROP COLUMN parked;
