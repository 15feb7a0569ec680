-- Samples of answers that no error rule of their provider speaks of, for who writes the provider file.
CREATE TABLE unmatched_answers (
    tenant        TEXT    NOT NULL CHECK (char_length(tenant) BETWEEN 1 AND 100),
    provider      TEXT    NOT NULL CHECK (char_length(provider) BETWEEN 1 AND 200),
    -- Of what tells one error from another.
    fingerprint   BIGINT  NOT NULL,
    -- The first one that was seen: status, headers, the body's beginning, without secrets.
    sample        TEXT    NOT NULL CHECK (octet_length(sample) <= 65536),
    count         BIGINT  NOT NULL CHECK (count > 0),
    first_seen_ms BIGINT  NOT NULL,
    last_seen_ms  BIGINT  NOT NULL,
    PRIMARY KEY (tenant, provider, fingerprint)
);
