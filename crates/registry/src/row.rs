//! Rows of the registry.

use secrecy::SecretString;
use serde::Serialize;
use sqlx::FromRow;
use tidegate_contracts::Parked;
use tidegate_provider::file::Name;

use crate::{ApiKey, Scopes, Tenant};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct TenantRow {
    /// Its name.
    pub name: String,
    /// Unix ms.
    pub created_at_ms: i64,
}

/// An API key to store.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What finds it.
    pub id: String,
    /// SHA-256 of its secret.
    pub digest: [u8; 32],
    /// Whose it is.
    pub tenant: Tenant,
    /// For people, at most 200 characters.
    pub name: String,
    /// What it may be used for.
    pub scopes: Scopes,
    /// Unix ms; `None`: not until it is revoked.
    pub expires_at_ms: Option<i64>,
}

impl NewKey {
    /// A new key of these properties with its text, which is known nowhere else.
    #[must_use]
    pub fn generate(tenant: Tenant, name: &str, scopes: Scopes, expires_at_ms: Option<i64>) -> (Self, SecretString) {
        let key = ApiKey::generate();
        let name = name.chars().take(200).collect();
        (Self { id: key.id().to_owned(), digest: key.digest(), tenant, name, scopes, expires_at_ms }, key.text())
    }
}

/// An API key as stored; the digest is not shown.
#[derive(Debug, Clone, FromRow, Serialize)]
pub struct KeyRow {
    /// What finds it.
    pub id: String,
    /// Whose it is.
    #[sqlx(try_from = "String")]
    #[serde(skip)]
    pub tenant: Tenant,
    /// For people.
    pub name: String,
    /// What it may be used for.
    #[sqlx(try_from = "String")]
    pub scopes: Scopes,
    /// SHA-256 of its secret.
    #[serde(skip)]
    pub digest: Vec<u8>,
    /// Unix ms.
    pub created_at_ms: i64,
    /// Unix ms; from then on it is refused.
    pub expires_at_ms: Option<i64>,
    /// Unix ms, to the minute.
    pub last_used_at_ms: Option<i64>,
    /// Unix ms.
    pub revoked_at_ms: Option<i64>,
}

/// A stored provider file.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ProviderRow {
    /// Its name.
    pub name: String,
    /// From 1, one more with each change.
    pub version: i64,
    /// The file, JSON.
    pub file: String,
    /// Unix ms.
    pub created_at_ms: i64,
    /// Unix ms.
    pub updated_at_ms: i64,
}

/// A stored provider file, without what is in it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct ProviderInfo {
    /// Its name.
    pub name: String,
    /// From 1, one more with each change.
    pub version: i64,
    /// Unix ms.
    pub created_at_ms: i64,
    /// Unix ms.
    pub updated_at_ms: i64,
}

/// A credential, without what is in it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct CredentialRow {
    /// Its name.
    pub name: String,
    /// From 1, one more with each change.
    pub version: i64,
    /// Unix ms.
    pub created_at_ms: i64,
    /// Unix ms.
    pub updated_at_ms: i64,
    #[serde(skip)]
    pub(crate) parked: Option<String>,
}

impl CredentialRow {
    /// Since when and why no call is made with it.
    #[must_use]
    pub fn parked(&self) -> Option<Parked> {
        read_parked(self.parked.as_deref())
    }
}

/// A credential, sealed.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct SealedRow {
    /// Whose it is.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// From 1, one more with each change.
    pub version: i64,
    /// Id of the sealing key.
    pub sealed_by: String,
    /// 24 bytes.
    pub nonce: Vec<u8>,
    /// What the sealing key opens.
    pub ciphertext: Vec<u8>,
    /// Unix ms.
    pub updated_at_ms: i64,
    /// Since when and why no call is made with it, JSON. Storing it does not keep this: what is renewed is used.
    pub parked: Option<String>,
}

/// Who wants to refresh which version of a credential.
#[derive(Debug, Clone, Copy)]
pub struct Refresh<'a> {
    /// Whose it is.
    pub tenant: &'a Tenant,
    /// Its name.
    pub name: &'a Name,
    /// The version that is to be replaced.
    pub version: i64,
    /// Who wants to, at most 64 characters; nobody else calls itself so.
    pub by: &'a str,
}

/// What came of asking for the lease of a credential, which its refresh takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leased {
    /// Nobody else refreshes it until the lease ends.
    Yes {
        /// Refreshes of this version that were begun, this one included.
        tries: i64,
        /// Those of them whose answer is not known.
        lost: i64,
    },
    /// Somebody does, or it failed just now: nobody begins before this, Unix ms.
    NotBefore(i64),
    /// It was renewed, parked or deleted meanwhile.
    Changed,
}

/// What [`crate::Vault::park`] has written.
pub(crate) fn read_parked(json: Option<&str>) -> Option<Parked> {
    serde_json::from_str(json?).ok()
}
