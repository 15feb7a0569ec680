//! What the gateway owns beside jobs: tenants, their API keys, provider files, and sealed credentials.
//!
//! [`Registry`] keeps the rows; it has an implementation for SQLite ([`SqliteRegistry`], in the ledger's file) and one
//! for Postgres ([`PostgresRegistry`]), held to the same [`conformance`] suite. Over it stand [`Keys`], which tells whose
//! key a request bears, and [`Vault`], which alone seals and opens credentials.
//!
//! **Invariants.** A tenant's name is part of every access to what belongs to it. No secret is stored: of an API key its
//! digest, of a credential what [`SealingKeys`] made of it. Secrets are neither shown nor logged nor part of an error.
//!
//! *To add a table*: a migration under both `migrations/` folders, statements in `statement.rs`, methods in [`Registry`]
//! and in `rows.rs`, and a check in the suite.

mod api_key;
pub mod conformance;
mod error;
mod keys;
mod postgres;
mod row;
mod rows;
mod scope;
mod sealing;
mod sqlite;
mod statement;
mod tenant;
mod token;
mod vault;

use async_trait::async_trait;
use tidegate_provider::file::Name;

pub use api_key::ApiKey;
pub use error::RegistryError;
pub use keys::{KEYS_KEPT_MAX, Keys, Refusal, TRUSTED_MS, VerifyError};
pub use postgres::PostgresRegistry;
pub use row::{CredentialRow, KeyRow, Leased, NewKey, ProviderInfo, ProviderRow, Refresh, SealedRow, TenantRow};
pub use scope::{Scope, Scopes};
pub use sealing::{SealingError, SealingKeys};
pub use sqlite::SqliteRegistry;
pub use tenant::Tenant;
pub use vault::{CREDENTIAL_MAX_BYTES, Opened, Vault, VaultError};

/// Most API keys of a tenant that are not revoked.
pub const KEYS_MAX: i64 = 1_000;
/// Most provider files of a tenant.
pub const PROVIDERS_MAX: i64 = 1_000;
/// Most credentials of a tenant.
pub const CREDENTIALS_MAX: i64 = 10_000;
/// Most rows that a list answers with.
pub const LIST_MAX: i64 = 10_000;

/// Tenants, API keys, provider files and sealed credentials, as rows. Each write is one statement, so no two of them
/// can come between each other.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Makes a tenant; `false` when it was there.
    async fn add_tenant(&self, tenant: &Tenant, now_ms: i64) -> Result<bool, RegistryError>;

    /// All tenants by name, at most [`LIST_MAX`].
    async fn tenants(&self) -> Result<Vec<TenantRow>, RegistryError>;

    /// Stores an API key, of which only the digest is known here.
    ///
    /// # Errors
    /// [`RegistryError::NoTenant`], [`RegistryError::TooMany`] above [`KEYS_MAX`].
    async fn add_key(&self, key: &NewKey, now_ms: i64) -> Result<(), RegistryError>;

    /// The API key of this id, whoever's it is: it is what tells the tenant.
    async fn key(&self, id: &str) -> Result<Option<KeyRow>, RegistryError>;

    /// The tenant's keys, newest first, revoked ones too, at most [`LIST_MAX`].
    async fn keys(&self, tenant: &Tenant) -> Result<Vec<KeyRow>, RegistryError>;

    /// Revokes a key of the tenant for good; the first time stays. `false` when the tenant has no such key.
    async fn revoke_key(&self, tenant: &Tenant, id: &str, now_ms: i64) -> Result<bool, RegistryError>;

    /// Notes that a key was used.
    async fn key_used(&self, id: &str, now_ms: i64) -> Result<(), RegistryError>;

    /// Stores a provider file (JSON) under a name and answers with its version: 1 for a new one, one more for a changed
    /// one, the same for the same.
    ///
    /// # Errors
    /// [`RegistryError::NoTenant`], [`RegistryError::TooMany`] above [`PROVIDERS_MAX`].
    async fn put_provider(&self, tenant: &Tenant, name: &Name, file: &str, now_ms: i64) -> Result<i64, RegistryError>;

    /// The tenant's provider file of this name.
    async fn provider(&self, tenant: &Tenant, name: &Name) -> Result<Option<ProviderRow>, RegistryError>;

    /// The tenant's provider files by name, without what is in them; at most [`LIST_MAX`].
    async fn providers(&self, tenant: &Tenant) -> Result<Vec<ProviderInfo>, RegistryError>;

    /// Deletes a provider file; jobs have their own copy. `false` when there is none.
    async fn delete_provider(&self, tenant: &Tenant, name: &Name) -> Result<bool, RegistryError>;

    /// Stores a sealed credential, if the one before has the version before (or there is none); else answers `false`
    /// and stores nothing. For [`Vault::put`].
    ///
    /// # Errors
    /// [`RegistryError::NoTenant`], [`RegistryError::TooMany`] above [`CREDENTIALS_MAX`].
    async fn put_sealed(&self, sealed: &SealedRow, now_ms: i64) -> Result<bool, RegistryError>;

    /// Replaces a sealed credential by its next version; not one that was renewed or deleted meanwhile. For [`Vault::renew`].
    async fn renew_sealed(&self, sealed: &SealedRow) -> Result<bool, RegistryError>;

    /// Takes the lease of a credential until `until_ms`, if nobody has it now. One that was taken and not given back until its
    /// end is counted as lost. For [`Vault::lease`].
    async fn lease_refresh(&self, refresh: &Refresh<'_>, until_ms: i64, now_ms: i64) -> Result<Leased, RegistryError>;

    /// Gives the lease of a credential back, if it still has it: nobody takes it before `until_ms`. `lost`: it is not known what
    /// came of the refresh. For [`Vault::postpone`].
    async fn postpone_refresh(&self, refresh: &Refresh<'_>, until_ms: i64, lost: bool) -> Result<(), RegistryError>;

    /// Ends all leases: for a process that has the database to itself, whose former self may have died with some.
    async fn end_leases(&self) -> Result<(), RegistryError>;

    /// A sealed credential. For [`Vault::open`].
    async fn sealed(&self, tenant: &Tenant, name: &Name) -> Result<Option<SealedRow>, RegistryError>;

    /// Sealed credentials of all tenants that another key than `sealed_by` seals, after the tenant and name `after`, in
    /// their order, at most `limit`. For [`Vault::reseal`].
    async fn sealed_by_others(
        &self,
        sealed_by: &str,
        after: (&str, &str),
        limit: i64,
    ) -> Result<Vec<SealedRow>, RegistryError>;

    /// Replaces the seal of a credential whose version is still the same; its times stay. `false` when it is not.
    async fn replace_seal(&self, sealed: &SealedRow) -> Result<bool, RegistryError>;

    /// Parks a credential whose version is still this one, and has the tenant's jobs wait that have no other; one that is
    /// parked stays so for the first reason (JSON). `false` when it was renewed or deleted. For [`Vault::park`].
    async fn park_credential(
        &self,
        tenant: &Tenant,
        name: &Name,
        version: i64,
        parked: &str,
    ) -> Result<bool, RegistryError>;

    /// The tenant's credentials by name, without what is in them; at most [`LIST_MAX`].
    async fn credentials(&self, tenant: &Tenant) -> Result<Vec<CredentialRow>, RegistryError>;

    /// Deletes a credential. `false` when there is none.
    async fn delete_credential(&self, tenant: &Tenant, name: &Name) -> Result<bool, RegistryError>;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), RegistryError>;
}
