-- The ledger of one state file: jobs, their trees, and the pages.
-- Times are Unix milliseconds. Ids are 16 bytes. Every state is tied to its times and counters by a CHECK.

CREATE TABLE jobs (
    seq             INTEGER PRIMARY KEY,
    id              BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    name            TEXT    NOT NULL CHECK (length(name) <= 200),
    fingerprint     TEXT    NOT NULL CHECK (length(fingerprint) <= 64),
    spec            TEXT    NOT NULL CHECK (json_valid(spec)),
    provider        TEXT    NOT NULL CHECK (length(provider) <= 64),
    lane            TEXT    NOT NULL CHECK (lane IN ('interactive', 'normal', 'bulk', 'trickle')),
    state           TEXT    NOT NULL CHECK (state IN ('submitted', 'running', 'succeeded', 'failed', 'cancelled')),
    -- Why no new call may go out, though calls may still be on their way.
    stop            TEXT             CHECK (stop IN ('failed', 'cancelled')),
    reason          TEXT             CHECK (length(reason) <= 1000),
    submitted_at_ms INTEGER NOT NULL,
    started_at_ms   INTEGER,
    finished_at_ms  INTEGER,
    calls_planned   INTEGER NOT NULL DEFAULT 0,
    calls_open      INTEGER NOT NULL DEFAULT 0 CHECK (calls_open >= 0),
    calls_released  INTEGER NOT NULL DEFAULT 0 CHECK (calls_released BETWEEN 0 AND calls_open),
    calls_succeeded INTEGER NOT NULL DEFAULT 0,
    calls_skipped   INTEGER NOT NULL DEFAULT 0,
    calls_failed    INTEGER NOT NULL DEFAULT 0,
    calls_tolerated INTEGER NOT NULL DEFAULT 0 CHECK (calls_tolerated <= calls_failed),
    calls_cancelled INTEGER NOT NULL DEFAULT 0,
    fetches_planned INTEGER NOT NULL DEFAULT 0,
    fetches_open    INTEGER NOT NULL DEFAULT 0 CHECK (fetches_open BETWEEN 0 AND fetches_planned),
    items           INTEGER NOT NULL DEFAULT 0,
    requests        INTEGER NOT NULL DEFAULT 0,
    CHECK (calls_planned = calls_open + calls_succeeded + calls_skipped + calls_failed + calls_cancelled),
    CHECK ((state = 'submitted') = (started_at_ms IS NULL)),
    CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at_ms IS NOT NULL)),
    CHECK (finished_at_ms IS NULL OR (calls_open = 0 AND fetches_open = 0))
);

CREATE INDEX jobs_unfinished ON jobs (state) WHERE finished_at_ms IS NULL;
CREATE INDEX jobs_alike ON jobs (fingerprint);

CREATE TABLE fetches (
    seq             INTEGER PRIMARY KEY,
    id              BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    job_id          BLOB    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    parent_id       BLOB             CHECK (length(parent_id) = 16),
    step            TEXT    NOT NULL CHECK (length(step) <= 64),
    params          TEXT    NOT NULL CHECK (length(params) <= 16384),
    total           INTEGER,
    -- What ended its paging; a guard's name means the list may not be whole. 'not_begun': its item lacks what the
    -- step's parameters need, and its one call failed without being made.
    fetch_end       TEXT,
    calls_planned   INTEGER NOT NULL DEFAULT 0,
    calls_open      INTEGER NOT NULL DEFAULT 0 CHECK (calls_open >= 0),
    calls_succeeded INTEGER NOT NULL DEFAULT 0,
    calls_skipped   INTEGER NOT NULL DEFAULT 0,
    calls_failed    INTEGER NOT NULL DEFAULT 0,
    calls_cancelled INTEGER NOT NULL DEFAULT 0,
    children_open   INTEGER NOT NULL DEFAULT 0 CHECK (children_open >= 0),
    items           INTEGER NOT NULL DEFAULT 0,
    created_at_ms   INTEGER NOT NULL,
    finished_at_ms  INTEGER,
    CHECK (calls_planned = calls_open + calls_succeeded + calls_skipped + calls_failed + calls_cancelled),
    CHECK ((finished_at_ms IS NULL) = (calls_open + children_open > 0))
);

CREATE INDEX fetches_of_job ON fetches (job_id, step);

CREATE TABLE calls (
    seq         INTEGER PRIMARY KEY,
    id          BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    job_id      BLOB    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    fetch_id    BLOB    NOT NULL,
    -- JSON: a cursor of at most 8192 bytes, each of which may take six characters there.
    pointer     TEXT    NOT NULL CHECK (length(pointer) <= 50000),
    ordinal     INTEGER NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('planned', 'released', 'succeeded', 'skipped', 'failed', 'cancelled')),
    -- Released before: its page may be stored already.
    again       INTEGER NOT NULL DEFAULT 0,
    attempt     INTEGER NOT NULL DEFAULT 0,
    requests    INTEGER NOT NULL DEFAULT 0,
    -- When a released call that nobody has spoken of is given up for lost.
    lost_at_ms  INTEGER,
    -- Until when it is parked, and why (JSON).
    wait        TEXT             CHECK (json_valid(wait)),
    class       TEXT,
    status      INTEGER,
    message     TEXT             CHECK (length(message) <= 1000),
    tolerated   INTEGER NOT NULL DEFAULT 0,
    ended_at_ms INTEGER,
    CHECK ((state = 'released') = (lost_at_ms IS NOT NULL)),
    CHECK ((state IN ('planned', 'released')) = (ended_at_ms IS NULL)),
    CHECK ((state IN ('skipped', 'failed')) = (class IS NOT NULL)),
    CHECK (wait IS NULL OR state = 'released')
);

CREATE INDEX calls_planned ON calls (job_id) WHERE state = 'planned';
CREATE INDEX calls_released ON calls (lost_at_ms) WHERE state = 'released';
CREATE INDEX calls_failed ON calls (job_id) WHERE state IN ('skipped', 'failed');

-- Keyed by numbers that grow as pages come: keys at random (ids are hashes) would dirty a page of the file for each row.
CREATE TABLE pages (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    call_seq      INTEGER NOT NULL UNIQUE REFERENCES calls (seq) ON DELETE CASCADE,
    fetch_seq     INTEGER NOT NULL,
    job_seq       INTEGER NOT NULL,
    items         INTEGER NOT NULL CHECK (items >= 0),
    fingerprint   INTEGER NOT NULL,
    facts         TEXT    NOT NULL CHECK (json_valid(facts)),
    stored_at_ms  INTEGER NOT NULL,
    -- One JSON item a line, compressed by zstd; the last column, so that what stands before is read without it.
    lines         BLOB    NOT NULL
);

CREATE INDEX pages_of_job ON pages (job_seq);
CREATE INDEX pages_alike ON pages (fetch_seq, fingerprint) WHERE items > 0;

-- State that services keep beside the tree, by name (limits' budgets).
CREATE TABLE keepsakes (
    name        TEXT    NOT NULL PRIMARY KEY,
    value       TEXT    NOT NULL,
    kept_at_ms  INTEGER NOT NULL
);
