-- Since when no new call of a job may go out, until it is resumed.

ALTER TABLE jobs ADD COLUMN paused_at_ms INTEGER CHECK (paused_at_ms IS NULL OR finished_at_ms IS NULL);
