DROP TRIGGER jobs_park_notice ON jobs;
DROP FUNCTION make_parked_notice;
DELETE FROM notices WHERE event = 'credential_parked';
ALTER TABLE notices DROP COLUMN parked;
ALTER TABLE notices DROP CONSTRAINT notices_event_check;
ALTER TABLE notices ADD CONSTRAINT notices_event_check CHECK (event IN ('succeeded', 'failed', 'cancelled'));
ALTER TABLE notices RENAME COLUMN at_ms TO finished_at_ms;
CREATE OR REPLACE FUNCTION make_notice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO notices (job_id, event, finished_at_ms, due_at_ms)
    VALUES (NEW.id, NEW.state, NEW.finished_at_ms, NEW.finished_at_ms)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
DROP TRIGGER credentials_leave_jobs ON credentials;
DROP TRIGGER credentials_park_jobs ON credentials;
DROP FUNCTION credential_parks_jobs;
DROP FUNCTION park_jobs;
DROP INDEX jobs_with_credentials;
ALTER TABLE jobs DROP COLUMN parked;
ALTER TABLE jobs DROP COLUMN credentials;
ALTER TABLE credentials DROP COLUMN parked;
