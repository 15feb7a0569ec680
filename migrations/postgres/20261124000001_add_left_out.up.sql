-- How many fetches of a step were not made, because its `when` did not hold. Changes with each commit that leaves some
-- out.
CREATE TABLE left_out (
    job_id  UUID   NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    step    TEXT   NOT NULL CHECK (char_length(step) <= 64),
    fetches BIGINT NOT NULL CHECK (fetches > 0),
    PRIMARY KEY (job_id, step)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
