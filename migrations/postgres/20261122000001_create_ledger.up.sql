-- The ledger of a cluster: jobs, their trees, and the pages. docs/postgres.md says why it looks so.
-- Times are Unix milliseconds. Every state is tied to its times and counters by a CHECK. JSON is kept as text, as it was
-- written: nobody asks inside of it, and jsonb has no room for \u0000.

CREATE TABLE jobs (
    seq             BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              UUID    NOT NULL UNIQUE,
    tenant          TEXT    NOT NULL CHECK (char_length(tenant) BETWEEN 1 AND 64),
    idempotency_key TEXT             CHECK (char_length(idempotency_key) BETWEEN 1 AND 255),
    -- SHA-256 of what was submitted under the key, hexadecimal.
    body_hash       TEXT             CHECK (char_length(body_hash) = 64),
    name            TEXT    NOT NULL CHECK (char_length(name) <= 200),
    fingerprint     TEXT    NOT NULL CHECK (char_length(fingerprint) <= 64),
    provider        TEXT    NOT NULL CHECK (char_length(provider) <= 64),
    lane            TEXT    NOT NULL CHECK (lane IN ('interactive', 'normal', 'bulk', 'trickle')),
    state           TEXT    NOT NULL CHECK (state IN ('submitted', 'running', 'succeeded', 'failed', 'cancelled')),
    -- Why no new call may go out, though calls may still be on their way.
    stop            TEXT             CHECK (stop IN ('failed', 'cancelled')),
    reason          TEXT             CHECK (char_length(reason) <= 1000),
    submitted_at_ms BIGINT  NOT NULL,
    started_at_ms   BIGINT,
    finished_at_ms  BIGINT,
    calls_planned   BIGINT  NOT NULL DEFAULT 0,
    calls_open      BIGINT  NOT NULL DEFAULT 0 CHECK (calls_open >= 0),
    calls_released  BIGINT  NOT NULL DEFAULT 0 CHECK (calls_released BETWEEN 0 AND calls_open),
    calls_succeeded BIGINT  NOT NULL DEFAULT 0,
    calls_skipped   BIGINT  NOT NULL DEFAULT 0,
    calls_failed    BIGINT  NOT NULL DEFAULT 0,
    calls_tolerated BIGINT  NOT NULL DEFAULT 0 CHECK (calls_tolerated <= calls_failed),
    calls_cancelled BIGINT  NOT NULL DEFAULT 0,
    fetches_planned BIGINT  NOT NULL DEFAULT 0,
    fetches_open    BIGINT  NOT NULL DEFAULT 0 CHECK (fetches_open BETWEEN 0 AND fetches_planned),
    items           BIGINT  NOT NULL DEFAULT 0,
    requests        BIGINT  NOT NULL DEFAULT 0,
    CHECK ((body_hash IS NULL) = (idempotency_key IS NULL)),
    CHECK (calls_planned = calls_open + calls_succeeded + calls_skipped + calls_failed + calls_cancelled),
    CHECK ((state = 'submitted') = (started_at_ms IS NULL)),
    CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at_ms IS NOT NULL)),
    CHECK (finished_at_ms IS NULL OR (calls_open = 0 AND fetches_open = 0))
-- Counters change with each commit: room for their new versions on the same page, cleared often.
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

CREATE UNIQUE INDEX jobs_by_key ON jobs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_of_tenant ON jobs (tenant, seq);
CREATE INDEX jobs_unfinished ON jobs (state) WHERE finished_at_ms IS NULL;
CREATE INDEX jobs_alike ON jobs (fingerprint, seq);

-- Beside the jobs, so that a commit that counts does not copy them.
CREATE TABLE specs (
    job_id          UUID    PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    spec            TEXT    NOT NULL
);

CREATE TABLE fetches (
    seq             BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              UUID    NOT NULL UNIQUE,
    job_id          UUID    NOT NULL,
    parent_id       UUID,
    step            TEXT    NOT NULL CHECK (char_length(step) <= 64),
    params          TEXT    NOT NULL CHECK (octet_length(params) <= 16384),
    total           BIGINT,
    -- What ended its paging; a guard's name means the list may not be whole. 'not_begun': its item lacks what the
    -- step's parameters need, and its one call failed without being made.
    fetch_end       TEXT             CHECK (char_length(fetch_end) <= 64),
    calls_planned   BIGINT  NOT NULL DEFAULT 0,
    calls_open      BIGINT  NOT NULL DEFAULT 0 CHECK (calls_open >= 0),
    calls_succeeded BIGINT  NOT NULL DEFAULT 0,
    calls_skipped   BIGINT  NOT NULL DEFAULT 0,
    calls_failed    BIGINT  NOT NULL DEFAULT 0,
    calls_cancelled BIGINT  NOT NULL DEFAULT 0,
    children_open   BIGINT  NOT NULL DEFAULT 0 CHECK (children_open >= 0),
    items           BIGINT  NOT NULL DEFAULT 0,
    created_at_ms   BIGINT  NOT NULL,
    finished_at_ms  BIGINT,
    CHECK (calls_planned = calls_open + calls_succeeded + calls_skipped + calls_failed + calls_cancelled),
    CHECK ((finished_at_ms IS NULL) = (calls_open + children_open > 0))
-- Most are updated once. No index holds what changes, and each row has room for one more version on its page, so that
-- these updates are heap-only.
) WITH (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE INDEX fetches_below ON fetches (job_id, parent_id, seq);

CREATE TABLE calls (
    id              UUID    PRIMARY KEY,
    -- In the order of planning. Without an index of its own: one less to write for each call.
    seq             BIGINT  NOT NULL GENERATED ALWAYS AS IDENTITY,
    job_id          UUID    NOT NULL,
    fetch_id        UUID    NOT NULL,
    -- JSON: a cursor of at most 8192 bytes, each of which may take six characters there.
    pointer         TEXT    NOT NULL CHECK (octet_length(pointer) <= 50000),
    ordinal         BIGINT  NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('planned', 'released', 'succeeded', 'skipped', 'failed', 'cancelled')),
    -- Released before: its page may be stored already.
    again           BOOLEAN NOT NULL DEFAULT false,
    attempt         BIGINT  NOT NULL DEFAULT 0,
    requests        BIGINT  NOT NULL DEFAULT 0,
    -- When a released call that nobody has spoken of is given up for lost.
    lost_at_ms      BIGINT,
    -- Until when it is parked, and why (JSON).
    wait_until_ms   BIGINT,
    wait_reason     TEXT,
    class           TEXT             CHECK (char_length(class) <= 64),
    status          INTEGER,
    message         TEXT             CHECK (char_length(message) <= 1000),
    tolerated       BOOLEAN NOT NULL DEFAULT false,
    ended_at_ms     BIGINT,
    CHECK ((state = 'released') = (lost_at_ms IS NOT NULL)),
    CHECK ((state IN ('planned', 'released')) = (ended_at_ms IS NULL)),
    CHECK ((state IN ('skipped', 'failed')) = (class IS NOT NULL)),
    CHECK ((wait_until_ms IS NULL) = (wait_reason IS NULL)),
    CHECK (wait_until_ms IS NULL OR state = 'released')
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE INDEX calls_planned ON calls (job_id, seq) WHERE state = 'planned';
CREATE INDEX calls_released ON calls (job_id, lost_at_ms) WHERE state = 'released';
CREATE INDEX calls_failed ON calls (job_id, seq) WHERE state IN ('skipped', 'failed', 'cancelled');

-- Keyed by numbers that grow as pages come: keys at random (ids are hashes) would dirty a page of an index for each row.
CREATE TABLE pages (
    call_seq        BIGINT  PRIMARY KEY,
    seq             BIGINT  NOT NULL GENERATED ALWAYS AS IDENTITY,
    fetch_seq       BIGINT  NOT NULL,
    job_id          UUID    NOT NULL,
    items           BIGINT  NOT NULL CHECK (items >= 0),
    fingerprint     BIGINT  NOT NULL,
    facts           TEXT    NOT NULL,
    stored_at_ms    BIGINT  NOT NULL,
    -- One JSON item a line, compressed by zstd.
    lines           BYTEA   NOT NULL
-- Up to a row of 8 KB the lines stay in the row: most pages do, and are read with it.
) WITH (toast_tuple_target = 8160, autovacuum_vacuum_insert_scale_factor = 0.05);

-- They are compressed already.
ALTER TABLE pages ALTER COLUMN lines SET STORAGE EXTERNAL;

CREATE INDEX pages_of_job ON pages (job_id, seq);
CREATE INDEX pages_alike ON pages (fetch_seq, fingerprint, seq) WHERE items > 0;

-- State that services keep beside the tree, by name (limits' budgets).
CREATE TABLE keepsakes (
    name            TEXT    PRIMARY KEY,
    value           TEXT    NOT NULL,
    kept_at_ms      BIGINT  NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
