ALTER TABLE jobs DROP COLUMN calls_left;
ALTER TABLE jobs DROP COLUMN max_calls;
ALTER TABLE jobs DROP COLUMN deadline_at_ms;
ALTER TABLE jobs DROP COLUMN deadline_ms;
