-- Since when a job's pages and tree are being deleted, or are gone. Its counters stay as they were.

ALTER TABLE jobs ADD COLUMN pruned_at_ms INTEGER CHECK (pruned_at_ms IS NULL OR finished_at_ms IS NOT NULL);
