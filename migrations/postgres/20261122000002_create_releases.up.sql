-- Calls that a commit released, until the broker has them: a tracker that dies in between leaves its note behind, and the
-- sweeper releases them again.
CREATE TABLE releases (
    seq             BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    calls           UUID[]  NOT NULL,
    released_at_ms  BIGINT  NOT NULL
-- A row lives for milliseconds.
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
