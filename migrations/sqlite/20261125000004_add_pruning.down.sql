ALTER TABLE jobs DROP COLUMN pruned_at_ms;
