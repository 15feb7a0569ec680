-- What of one job is out, as `explain` asks, and what of unfinished jobs is lost, as the sweeper does.

DROP INDEX calls_released;
CREATE INDEX calls_released ON calls (job_id, lost_at_ms) WHERE state = 'released';
