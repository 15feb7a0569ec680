-- What the gateway owns beside jobs: tenants, their API keys, provider files, and sealed credentials.
-- Times are Unix milliseconds. Names are [a-z0-9_-]{1,64}, checked before they come here.

CREATE TABLE tenants (
    name          TEXT    NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    created_at_ms BIGINT  NOT NULL
);

CREATE TABLE api_keys (
    -- The public part of the key, which finds it.
    id              TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 8 AND 32),
    tenant          TEXT    NOT NULL REFERENCES tenants (name),
    name            TEXT    NOT NULL CHECK (length(name) <= 200),
    -- Separated by spaces.
    scopes          TEXT    NOT NULL CHECK (length(scopes) BETWEEN 1 AND 64),
    -- SHA-256 of the secret part, which has 256 random bits.
    digest          BYTEA   NOT NULL CHECK (length(digest) = 32),
    created_at_ms   BIGINT  NOT NULL,
    expires_at_ms   BIGINT,
    last_used_at_ms BIGINT,
    revoked_at_ms   BIGINT
);

CREATE INDEX api_keys_of_tenant ON api_keys (tenant, created_at_ms);

CREATE TABLE providers (
    tenant        TEXT    NOT NULL REFERENCES tenants (name),
    name          TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    -- From 1, one more with each change.
    version       BIGINT  NOT NULL CHECK (version >= 1),
    file          TEXT    NOT NULL CHECK (json_typeof(file::json) = 'object'),
    created_at_ms BIGINT  NOT NULL,
    updated_at_ms BIGINT  NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE credentials (
    tenant        TEXT    NOT NULL REFERENCES tenants (name),
    name          TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    -- From 1, one more with each change; sealed along with the secret.
    version       BIGINT  NOT NULL CHECK (version >= 1),
    -- Which sealing key opens it.
    sealed_by     TEXT    NOT NULL CHECK (length(sealed_by) BETWEEN 1 AND 32),
    nonce         BYTEA   NOT NULL CHECK (length(nonce) = 24),
    ciphertext    BYTEA   NOT NULL CHECK (length(ciphertext) <= 131072),
    created_at_ms BIGINT  NOT NULL,
    updated_at_ms BIGINT  NOT NULL,
    PRIMARY KEY (tenant, name)
);
