-- A credential that its provider takes no more is parked: no call is made with it, and the jobs that have no other wait until it
-- is renewed. Both happen in the statement that parks or renews it, so neither can be lost in between.

-- Since when and why, JSON; none while it is used.
ALTER TABLE credentials ADD COLUMN parked TEXT CHECK (json_typeof(parked::json) = 'object');

-- Names of the credentials that a job's calls are made with, separated by commas. Read out of its file when it is submitted.
ALTER TABLE jobs ADD COLUMN credentials TEXT CHECK (char_length(credentials) BETWEEN 1 AND 2000);
-- What was parked that its calls wait for, JSON. Never of a finished job.
ALTER TABLE jobs ADD COLUMN parked TEXT CHECK (parked IS NULL OR finished_at_ms IS NULL);

CREATE INDEX jobs_with_credentials ON jobs (tenant) WHERE finished_at_ms IS NULL AND credentials IS NOT NULL;

-- Locks jobs in the order in which everybody does.
CREATE FUNCTION park_jobs(whose TEXT, credential TEXT, parks BOOLEAN) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM jobs WHERE tenant = whose AND finished_at_ms IS NULL AND credentials IS NOT NULL
        AND credential = ANY (string_to_array(credentials, ',')) AND (parked IS NULL) = parks
        ORDER BY id FOR NO KEY UPDATE;
    -- One that may be used is enough; the last one parked is told of.
    UPDATE jobs SET parked = (
        SELECT CASE WHEN bool_and(held.parked IS NOT NULL)
            THEN (array_agg(held.parked ORDER BY (held.parked::json ->> 'since_ms')::bigint DESC))[1] END
        FROM credentials AS held
        WHERE held.tenant = whose AND held.name = ANY (string_to_array(jobs.credentials, ',')))
    WHERE tenant = whose AND finished_at_ms IS NULL AND credentials IS NOT NULL
        AND credential = ANY (string_to_array(credentials, ',')) AND (parked IS NULL) = parks;
END $$;

CREATE FUNCTION credential_parks_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM park_jobs(OLD.tenant, OLD.name, false);
    ELSE
        PERFORM park_jobs(NEW.tenant, NEW.name, NEW.parked IS NOT NULL);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER credentials_park_jobs AFTER UPDATE OF parked ON credentials FOR EACH ROW
WHEN (OLD.parked IS NOT NULL OR NEW.parked IS NOT NULL)
EXECUTE FUNCTION credential_parks_jobs();

CREATE TRIGGER credentials_leave_jobs AFTER DELETE ON credentials FOR EACH ROW
WHEN (OLD.parked IS NOT NULL)
EXECUTE FUNCTION credential_parks_jobs();

-- Its owner is told, as of a job's end.
ALTER TABLE notices RENAME COLUMN finished_at_ms TO at_ms;
ALTER TABLE notices DROP CONSTRAINT notices_event_check;
ALTER TABLE notices ADD CONSTRAINT notices_event_check
    CHECK (event IN ('succeeded', 'failed', 'cancelled', 'credential_parked'));
-- What was parked, JSON.
ALTER TABLE notices ADD COLUMN parked TEXT CHECK ((parked IS NOT NULL) = (event = 'credential_parked'));

CREATE OR REPLACE FUNCTION make_notice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO notices (job_id, event, at_ms, due_at_ms)
    VALUES (NEW.id, NEW.state, NEW.finished_at_ms, NEW.finished_at_ms)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION make_parked_notice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    since_ms BIGINT := NEW.parked::json ->> 'since_ms';
BEGIN
    INSERT INTO notices (job_id, event, at_ms, due_at_ms, parked)
    VALUES (NEW.id, 'credential_parked', since_ms, since_ms, NEW.parked)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER jobs_park_notice AFTER UPDATE OF parked ON jobs FOR EACH ROW
WHEN (OLD.parked IS NULL AND NEW.parked IS NOT NULL AND NEW.notify IS NOT NULL
    AND 'credential_parked' = ANY (string_to_array(NEW.notify, ',')))
EXECUTE FUNCTION make_parked_notice();
