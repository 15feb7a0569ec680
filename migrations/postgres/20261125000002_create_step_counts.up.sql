-- Counters by step, rolled up with those of fetches: reading them takes as long with a million calls as with one.

CREATE TABLE step_counts (
    seq           BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id        UUID    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    step          TEXT    NOT NULL CHECK (char_length(step) <= 64),
    fetches       BIGINT  NOT NULL,
    fetches_done  BIGINT  NOT NULL CHECK (fetches_done BETWEEN 0 AND fetches),
    -- Without an open call; something below them may be.
    fetches_paged BIGINT  NOT NULL CHECK (fetches_paged BETWEEN fetches_done AND fetches),
    calls_planned BIGINT  NOT NULL,
    calls_open    BIGINT  NOT NULL CHECK (calls_open BETWEEN 0 AND calls_planned),
    calls_failed  BIGINT  NOT NULL,
    calls_skipped BIGINT  NOT NULL,
    -- Of fetches without an open call.
    calls_paged   BIGINT  NOT NULL CHECK (calls_paged BETWEEN 0 AND calls_planned),
    items         BIGINT  NOT NULL,
    UNIQUE (job_id, step)
-- They change with each commit.
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- Fetches that a guard ended, by guard.
CREATE TABLE step_guards (
    job_id        UUID    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    step          TEXT    NOT NULL,
    guard         TEXT    NOT NULL,
    fetches       BIGINT  NOT NULL CHECK (fetches > 0),
    PRIMARY KEY (job_id, step, guard)
);

INSERT INTO step_counts (job_id, step, fetches, fetches_done, fetches_paged, calls_planned, calls_open, calls_failed,
    calls_skipped, calls_paged, items)
SELECT job_id, step, count(*), count(finished_at_ms), count(*) FILTER (WHERE calls_open = 0), sum(calls_planned),
    sum(calls_open), sum(calls_failed), sum(calls_skipped), coalesce(sum(calls_planned) FILTER (WHERE calls_open = 0), 0),
    sum(items)
FROM fetches GROUP BY job_id, step ORDER BY min(seq);

INSERT INTO step_guards (job_id, step, guard, fetches)
SELECT job_id, step, fetch_end, count(*) FROM fetches
WHERE fetch_end IN ('repeated_pointer', 'repeated_page', 'page_cap') GROUP BY job_id, step, fetch_end;
