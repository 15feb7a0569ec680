//! Credentials, opened only here.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::ExposeSecret as _;
use tidegate_contracts::Parked;
use tidegate_provider::file::Name;
use tidegate_provider::{Credential, CredentialError};
use zeroize::Zeroizing;

use crate::row::read_parked;
use crate::sealing::Seal;
use crate::{Leased, Refresh, Registry, RegistryError, SealedRow, SealingError, SealingKeys, Tenant};

/// Largest credential, in bytes of its JSON.
pub const CREDENTIAL_MAX_BYTES: usize = 65_536;
/// Times that a change is tried again when another came between.
const TRIES_MAX: u32 = 10;
/// Credentials resealed between two looks for more.
const RESEAL_AT_ONCE: i64 = 100;

/// What can go wrong with credentials. Shows no secret.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The registry failed.
    #[error("the registry failed")]
    Registry(#[from] RegistryError),
    /// It can't be sealed or opened.
    #[error("credential {name} of {tenant} can't be sealed or opened")]
    Sealing {
        /// Whose.
        tenant: String,
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: SealingError,
    },
    /// What was opened is no credential.
    #[error("what is stored is not a credential")]
    Credential(#[from] CredentialError),
    /// It is larger than [`CREDENTIAL_MAX_BYTES`].
    #[error("a credential has at most {CREDENTIAL_MAX_BYTES} bytes")]
    TooLarge,
    /// Others changed it all the time.
    #[error("the credential was changed by others, again and again")]
    Contended,
}

/// A credential, opened.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The secrets.
    pub credential: Credential,
    /// From 1, one more with each change.
    pub version: i64,
    /// Unix ms.
    pub updated_at_ms: i64,
    /// Since when and why no call is made with it.
    pub parked: Option<Parked>,
}

/// Seals and opens credentials.
#[derive(Clone)]
pub struct Vault {
    registry: Arc<dyn Registry>,
    keys: Arc<SealingKeys>,
}

impl Vault {
    /// Over these rows, with these keys.
    #[must_use]
    pub fn new(registry: Arc<dyn Registry>, keys: Arc<SealingKeys>) -> Self {
        Self { registry, keys }
    }

    /// What it seals and opens with.
    #[must_use]
    pub fn sealing_keys(&self) -> &SealingKeys {
        &self.keys
    }

    /// Stores a credential under its name and answers with its version.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn put(
        &self,
        tenant: &Tenant,
        name: &Name,
        credential: &Credential,
        now_ms: i64,
    ) -> Result<i64, VaultError> {
        let json = json_of(credential)?;
        for _ in 0..TRIES_MAX {
            let version = self.registry.sealed(tenant, name).await?.map_or(1, |before| before.version + 1);
            let row = self.seal(tenant, name, version, &json, now_ms)?;
            if self.registry.put_sealed(&row, now_ms).await? {
                return Ok(version);
            }
        }
        Err(VaultError::Contended)
    }

    /// Stores what a refresh has brought as the version after the one that was refreshed. Not, when that was renewed or deleted
    /// meanwhile: whoever did that knew better. Idempotent by version.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn renew(
        &self,
        (tenant, name): (&Tenant, &Name),
        version: i64,
        credential: &Credential,
        now_ms: i64,
    ) -> Result<bool, VaultError> {
        let row = self.seal(tenant, name, version + 1, &json_of(credential)?, now_ms)?;
        Ok(self.registry.renew_sealed(&row).await?)
    }

    /// Takes the lease that the refresh of a credential needs, until `until_ms`.
    ///
    /// # Errors
    /// [`VaultError::Registry`].
    pub async fn lease(&self, refresh: &Refresh<'_>, until_ms: i64, now_ms: i64) -> Result<Leased, VaultError> {
        Ok(self.registry.lease_refresh(refresh, until_ms, now_ms).await?)
    }

    /// Gives the lease back: nobody takes it before `until_ms`. `lost`: it is not known what came of the refresh.
    ///
    /// # Errors
    /// [`VaultError::Registry`].
    pub async fn postpone(&self, refresh: &Refresh<'_>, until_ms: i64, lost: bool) -> Result<(), VaultError> {
        Ok(self.registry.postpone_refresh(refresh, until_ms, lost).await?)
    }

    fn seal(
        &self,
        tenant: &Tenant,
        name: &Name,
        version: i64,
        json: &[u8],
        now_ms: i64,
    ) -> Result<SealedRow, VaultError> {
        let seal = self.keys.seal(&purpose(tenant.as_str(), name.as_str(), version), json);
        let Seal { sealed_by, nonce, ciphertext } =
            seal.map_err(|source| sealing(tenant.as_str(), name.as_str(), source))?;
        let (tenant, name) = (tenant.to_string(), name.to_string());
        Ok(SealedRow { tenant, name, version, sealed_by, nonce, ciphertext, updated_at_ms: now_ms, parked: None })
    }

    /// The tenant's credential of this name, opened.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn open(&self, tenant: &Tenant, name: &Name) -> Result<Option<Opened>, VaultError> {
        let Some(row) = self.registry.sealed(tenant, name).await? else { return Ok(None) };
        let json = self.open_row(&row)?;
        let text = std::str::from_utf8(&json).map_err(|_| CredentialError::Malformed(row.name.clone()))?;
        let credential = Credential::from_text(&row.name, text)?;
        let parked = read_parked(row.parked.as_deref());
        Ok(Some(Opened { credential, version: row.version, updated_at_ms: row.updated_at_ms, parked }))
    }

    /// Parks the credential that `parked` names, if it is still of this version: no call is made with it until it is
    /// stored anew. Whether it is parked now; not, when it was renewed or deleted meanwhile. Idempotent.
    ///
    /// # Errors
    /// [`VaultError::Registry`].
    pub async fn park(&self, tenant: &Tenant, version: i64, parked: &Parked) -> Result<bool, VaultError> {
        let Ok(name) = Name::try_from(parked.credential.clone()) else { return Ok(false) };
        let json = serde_json::json!(parked).to_string();
        Ok(self.registry.park_credential(tenant, &name, version, &json).await?)
    }

    /// Seals what other keys seal with the first one, and answers with how many: after which the others may go. To be
    /// repeated at will; what is changed meanwhile is sealed with the first key anyway.
    ///
    /// # Errors
    /// [`VaultError`], at the first that can't be opened; those before it are done.
    pub async fn reseal(&self) -> Result<u64, VaultError> {
        let (mut after, mut resealed) = ((String::new(), String::new()), 0);
        loop {
            let from = (after.0.as_str(), after.1.as_str());
            let rows = self.registry.sealed_by_others(self.keys.sealing_id(), from, RESEAL_AT_ONCE).await?;
            let Some(last) = rows.last() else { return Ok(resealed) };
            after = (last.tenant.clone(), last.name.clone());
            for row in rows {
                let json = self.open_row(&row)?;
                let seal = self.keys.seal(&purpose(&row.tenant, &row.name, row.version), &json);
                let seal = seal.map_err(|source| sealing(&row.tenant, &row.name, source))?;
                let Seal { sealed_by, nonce, ciphertext } = seal;
                let row = SealedRow { sealed_by, nonce, ciphertext, ..row };
                resealed += u64::from(self.registry.replace_seal(&row).await?);
            }
        }
    }

    fn open_row(&self, row: &SealedRow) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let seal =
            Seal { sealed_by: row.sealed_by.clone(), nonce: row.nonce.clone(), ciphertext: row.ciphertext.clone() };
        let opened = self.keys.open(&purpose(&row.tenant, &row.name, row.version), &seal);
        opened.map_err(|source| sealing(&row.tenant, &row.name, source))
    }
}

/// A credential as it is sealed.
fn json_of(credential: &Credential) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let fields: BTreeMap<&str, &str> =
        credential.fields().map(|(field, secret)| (field, secret.expose_secret())).collect();
    // Room from the start, since a buffer that grows leaves what it held behind.
    let mut json = Zeroizing::new(Vec::with_capacity(CREDENTIAL_MAX_BYTES));
    let size: usize = fields.iter().map(|(field, secret)| field.len() + secret.len()).sum();
    if size > CREDENTIAL_MAX_BYTES || serde_json::to_writer(&mut *json, &fields).is_err() {
        return Err(VaultError::TooLarge);
    }
    if json.len() > CREDENTIAL_MAX_BYTES { Err(VaultError::TooLarge) } else { Ok(json) }
}

fn sealing(tenant: &str, name: &str, source: SealingError) -> VaultError {
    VaultError::Sealing { tenant: tenant.to_owned(), name: name.to_owned(), source }
}

/// What is authenticated along with a credential. Names hold no `|`.
fn purpose(tenant: &str, name: &str, version: i64) -> String {
    format!("tidegate.credential.1|{tenant}|{name}|{version}")
}
