-- Counters by step, rolled up with those of fetches: reading them takes as long with a million calls as with one.

CREATE TABLE step_counts (
    seq           INTEGER PRIMARY KEY,
    job_id        BLOB    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    step          TEXT    NOT NULL CHECK (length(step) <= 64),
    fetches       INTEGER NOT NULL,
    fetches_done  INTEGER NOT NULL CHECK (fetches_done BETWEEN 0 AND fetches),
    -- Without an open call; something below them may be.
    fetches_paged INTEGER NOT NULL CHECK (fetches_paged BETWEEN fetches_done AND fetches),
    calls_planned INTEGER NOT NULL,
    calls_open    INTEGER NOT NULL CHECK (calls_open BETWEEN 0 AND calls_planned),
    calls_failed  INTEGER NOT NULL,
    calls_skipped INTEGER NOT NULL,
    -- Of fetches without an open call.
    calls_paged   INTEGER NOT NULL CHECK (calls_paged BETWEEN 0 AND calls_planned),
    items         INTEGER NOT NULL,
    UNIQUE (job_id, step)
);

-- Fetches that a guard ended, by guard.
CREATE TABLE step_guards (
    job_id        BLOB    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    step          TEXT    NOT NULL,
    guard         TEXT    NOT NULL,
    fetches       INTEGER NOT NULL CHECK (fetches > 0),
    PRIMARY KEY (job_id, step, guard)
) WITHOUT ROWID;

INSERT INTO step_counts (job_id, step, fetches, fetches_done, fetches_paged, calls_planned, calls_open, calls_failed,
    calls_skipped, calls_paged, items)
SELECT job_id, step, count(*), count(finished_at_ms), count(*) FILTER (WHERE calls_open = 0), sum(calls_planned),
    sum(calls_open), sum(calls_failed), sum(calls_skipped), coalesce(sum(calls_planned) FILTER (WHERE calls_open = 0), 0),
    sum(items)
FROM fetches GROUP BY job_id, step ORDER BY min(seq);

INSERT INTO step_guards (job_id, step, guard, fetches)
SELECT job_id, step, fetch_end, count(*) FROM fetches
WHERE fetch_end IN ('repeated_pointer', 'repeated_page', 'page_cap') GROUP BY job_id, step, fetch_end;
