-- How many fetches of a step were not made, because its `when` did not hold.
CREATE TABLE left_out (
    job_id  BLOB    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    step    TEXT    NOT NULL CHECK (length(step) <= 64),
    fetches INTEGER NOT NULL CHECK (fetches > 0),
    PRIMARY KEY (job_id, step)
) WITHOUT ROWID;
