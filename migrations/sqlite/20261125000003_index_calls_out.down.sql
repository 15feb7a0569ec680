DROP INDEX calls_released;
CREATE INDEX calls_released ON calls (lost_at_ms) WHERE state = 'released';
