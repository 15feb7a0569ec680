-- How long a job may take since it was submitted or tried again, and until when that is.
ALTER TABLE jobs ADD COLUMN deadline_ms INTEGER CHECK (deadline_ms > 0);
ALTER TABLE jobs ADD COLUMN deadline_at_ms INTEGER CHECK ((deadline_at_ms IS NULL) = (deadline_ms IS NULL));
-- Most calls that may be released since then, and how many are left of them.
ALTER TABLE jobs ADD COLUMN max_calls INTEGER CHECK (max_calls > 0);
ALTER TABLE jobs ADD COLUMN calls_left INTEGER
    CHECK ((calls_left IS NULL) = (max_calls IS NULL) AND calls_left BETWEEN 0 AND max_calls);
