DROP INDEX pages_tops;
ALTER TABLE pages DROP COLUMN top;
DROP INDEX fetches_marked;
ALTER TABLE fetches DROP COLUMN since;
ALTER TABLE fetches DROP COLUMN mark_id;
ALTER TABLE jobs DROP COLUMN extend;
DROP TABLE marks;
