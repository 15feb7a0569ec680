//! The statements, in the dialect that SQLite and Postgres share. `$n` is bound by position; times are Unix ms.

pub(crate) const ADD_TENANT: &str = "/* add_tenant */
    INSERT INTO tenants (name, created_at_ms) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";

pub(crate) const TENANTS: &str = "/* tenants */ SELECT name, created_at_ms FROM tenants ORDER BY name LIMIT $1";

pub(crate) const ADD_KEY: &str = "/* add_key */
    INSERT INTO api_keys (id, tenant, name, scopes, digest, created_at_ms, expires_at_ms)
    SELECT $1, $2, $3, $4, $5, $6, $7
    WHERE (SELECT count(*) FROM api_keys WHERE tenant = $2 AND revoked_at_ms IS NULL) < $8";

pub(crate) const KEY: &str = "/* key */
    SELECT id, tenant, name, scopes, digest, created_at_ms, expires_at_ms, last_used_at_ms, revoked_at_ms
    FROM api_keys WHERE id = $1";

pub(crate) const KEYS: &str = "/* keys */
    SELECT id, tenant, name, scopes, digest, created_at_ms, expires_at_ms, last_used_at_ms, revoked_at_ms
    FROM api_keys WHERE tenant = $1 ORDER BY created_at_ms DESC, id LIMIT $2";

pub(crate) const REVOKE_KEY: &str = "/* revoke_key */
    UPDATE api_keys SET revoked_at_ms = coalesce(revoked_at_ms, $3) WHERE tenant = $1 AND id = $2";

pub(crate) const KEY_USED: &str = "/* key_used */ UPDATE api_keys SET last_used_at_ms = $2 WHERE id = $1";

pub(crate) const PUT_PROVIDER: &str = "/* put_provider */
    INSERT INTO providers (tenant, name, version, file, created_at_ms, updated_at_ms)
    SELECT $1, $2, 1, $3, $4, $4
    WHERE (SELECT count(*) FROM providers WHERE tenant = $1 AND name <> $2) < $5
    ON CONFLICT (tenant, name) DO UPDATE SET
        version = providers.version + CASE WHEN providers.file = excluded.file THEN 0 ELSE 1 END,
        updated_at_ms = CASE WHEN providers.file = excluded.file
            THEN providers.updated_at_ms ELSE excluded.updated_at_ms END,
        file = excluded.file
    RETURNING version";

pub(crate) const PROVIDER: &str = "/* provider */
    SELECT name, version, file, created_at_ms, updated_at_ms FROM providers WHERE tenant = $1 AND name = $2";

pub(crate) const PROVIDERS: &str = "/* providers */
    SELECT name, version, created_at_ms, updated_at_ms FROM providers WHERE tenant = $1 ORDER BY name LIMIT $2";

pub(crate) const DELETE_PROVIDER: &str = "/* delete_provider */ DELETE FROM providers WHERE tenant = $1 AND name = $2";

pub(crate) const PUT_SEALED: &str = "/* put_sealed */
    INSERT INTO credentials (tenant, name, version, sealed_by, nonce, ciphertext, created_at_ms, updated_at_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
    ON CONFLICT (tenant, name) DO UPDATE SET
        version = excluded.version, sealed_by = excluded.sealed_by, nonce = excluded.nonce,
        ciphertext = excluded.ciphertext, updated_at_ms = excluded.updated_at_ms, parked = NULL,
        refresh_by = NULL, refresh_until_ms = NULL, refresh_tries = 0, refresh_lost = 0
    WHERE credentials.version = excluded.version - 1";

// Not of one that was deleted meanwhile.
pub(crate) const RENEW_SEALED: &str = "/* renew_sealed */
    UPDATE credentials SET version = $3, sealed_by = $4, nonce = $5, ciphertext = $6, updated_at_ms = $7, parked = NULL,
        refresh_by = NULL, refresh_until_ms = NULL, refresh_tries = 0, refresh_lost = 0
    WHERE tenant = $1 AND name = $2 AND version = $3 - 1";

// Whoever holds it and has not given it back by now has lost what it asked for.
pub(crate) const LEASE_REFRESH: &str = "/* lease_refresh */
    UPDATE credentials SET refresh_lost = refresh_lost + CASE WHEN refresh_by IS NULL THEN 0 ELSE 1 END,
        refresh_by = $4, refresh_until_ms = $5, refresh_tries = refresh_tries + 1
    WHERE tenant = $1 AND name = $2 AND version = $3 AND parked IS NULL AND coalesce(refresh_until_ms, 0) <= $6
    RETURNING refresh_tries, refresh_lost";

pub(crate) const REFRESH_UNTIL: &str = "/* refresh_until */
    SELECT refresh_until_ms FROM credentials
    WHERE tenant = $1 AND name = $2 AND version = $3 AND parked IS NULL AND refresh_until_ms IS NOT NULL";

// What whoever held them asked for is counted as lost by the next one.
pub(crate) const END_LEASES: &str = "/* end_leases */
    UPDATE credentials SET refresh_until_ms = NULL WHERE refresh_until_ms IS NOT NULL";

pub(crate) const POSTPONE_REFRESH: &str = "/* postpone_refresh */
    UPDATE credentials SET refresh_by = NULL, refresh_until_ms = $5, refresh_lost = refresh_lost + $6
    WHERE tenant = $1 AND name = $2 AND version = $3 AND refresh_by = $4";

pub(crate) const OTHER_CREDENTIALS: &str = "/* other_credentials */
    SELECT count(*) FROM credentials WHERE tenant = $1 AND name <> $2";

pub(crate) const SEALED: &str = "/* sealed */
    SELECT tenant, name, version, sealed_by, nonce, ciphertext, updated_at_ms, parked
    FROM credentials WHERE tenant = $1 AND name = $2";

pub(crate) const SEALED_BY_OTHERS: &str = "/* sealed_by_others */
    SELECT tenant, name, version, sealed_by, nonce, ciphertext, updated_at_ms, parked
    FROM credentials WHERE sealed_by <> $1 AND (tenant, name) > ($2, $3) ORDER BY tenant, name LIMIT $4";

pub(crate) const REPLACE_SEAL: &str = "/* replace_seal */
    UPDATE credentials SET sealed_by = $4, nonce = $5, ciphertext = $6
    WHERE tenant = $1 AND name = $2 AND version = $3";

// A trigger has the jobs wait that have no other; also those that came since it was parked.
pub(crate) const PARK_CREDENTIAL: &str = "/* park_credential */
    UPDATE credentials SET parked = coalesce(parked, $4) WHERE tenant = $1 AND name = $2 AND version = $3";

pub(crate) const CREDENTIALS: &str = "/* credentials */
    SELECT name, version, created_at_ms, updated_at_ms, parked FROM credentials WHERE tenant = $1 ORDER BY name LIMIT $2";

pub(crate) const DELETE_CREDENTIAL: &str = "/* delete_credential */
    DELETE FROM credentials WHERE tenant = $1 AND name = $2";

pub(crate) const PING: &str = "/* ping */ SELECT 1";
