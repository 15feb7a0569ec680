DROP INDEX calls_held;
DROP INDEX calls_planned;
CREATE INDEX calls_planned ON calls (job_id, seq) WHERE state = 'planned';
ALTER TABLE jobs DROP COLUMN calls_held;
ALTER TABLE calls DROP COLUMN held;
ALTER TABLE fetches DROP COLUMN spoiled;
ALTER TABLE fetches DROP COLUMN blockers_open;
DROP TABLE barriers;
