-- Messages that could not be handled, taken from the broker (or the process) that the ring runs over, for people.
CREATE TABLE dead_letters (
    -- The order of coming here.
    seq            BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Derived from message, queue and time: one that is taken twice is here once.
    id             UUID    NOT NULL UNIQUE,
    -- Where it was to be handled.
    queue          TEXT    NOT NULL CHECK (char_length(queue) BETWEEN 1 AND 255),
    -- Kind of message; NULL when nobody could read it.
    kind           TEXT             CHECK (char_length(kind) BETWEEN 1 AND 64),
    -- Of this job, if it speaks of one; which need not be there.
    job_id         UUID,
    reason         TEXT    NOT NULL CHECK (char_length(reason) <= 500),
    -- How often it had come back before.
    redelivered    BIGINT  NOT NULL CHECK (redelivered >= 0),
    died_at_ms     BIGINT  NOT NULL,
    kept_at_ms     BIGINT  NOT NULL,
    -- Bytes that it had when it came.
    bytes          BIGINT  NOT NULL CHECK (bytes >= 0),
    -- The message, or the beginning of what is none.
    body           BYTEA   NOT NULL CHECK (octet_length(body) <= 1048576),
    -- When it was last sent again.
    replayed_at_ms BIGINT
);
