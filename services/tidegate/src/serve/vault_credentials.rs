//! Credentials out of the vault, kept for a short time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tidegate_contracts::Parked;
use tidegate_daemon::Clock;
use tidegate_executor::{Credentials, CredentialsError, Lent, Parking};
use tidegate_provider::file::Name;
use tidegate_registry::{Tenant, Vault};

/// How long a credential is used without looking whether it has changed, in ms.
const KEPT_MS: i64 = 5_000;
/// Most credentials kept; all are forgotten above it.
const KEPT_MAX: usize = 10_000;

type Key = (String, String);

/// Credentials out of the vault.
pub(crate) struct VaultCredentials {
    vault: Vault,
    clock: Clock,
    kept: Mutex<HashMap<Key, (i64, Option<Lent>)>>,
}

impl VaultCredentials {
    pub(crate) fn new(vault: Vault, clock: Clock) -> Self {
        Self { vault, clock, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Key, (i64, Option<Lent>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Credentials for VaultCredentials {
    async fn get(&self, tenant: &str, name: &str) -> Result<Option<Lent>, CredentialsError> {
        let (key, now_ms) = ((tenant.to_owned(), name.to_owned()), (self.clock)());
        if let Some((read_ms, lent)) = self.kept().get(&key)
            && now_ms - read_ms < KEPT_MS
        {
            return Ok(lent.clone());
        }
        let named = Name::try_from(name.to_owned()).map_err(CredentialsError)?;
        let opened = self.vault.open(&owner(tenant)?, &named).await.map_err(|error| unreadable(&error))?;
        let lent = opened.map(|opened| Lent {
            credential: Arc::new(opened.credential),
            version: opened.version,
            parked: opened.parked,
        });
        let mut kept = self.kept();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key, (now_ms, lent.clone()));
        Ok(lent)
    }

    async fn park(&self, tenant: &str, version: i64, parked: &Parked) -> Result<Parking, CredentialsError> {
        let done = self.vault.park(&owner(tenant)?, version, parked).await.map_err(|error| unreadable(&error))?;
        // Whatever was kept is of before.
        self.kept().remove(&(tenant.to_owned(), parked.credential.clone()));
        Ok(if done { Parking::Done } else { Parking::Outdated })
    }
}

fn owner(tenant: &str) -> Result<Tenant, CredentialsError> {
    tenant.parse().map_err(|error| unreadable(&error))
}

fn unreadable(error: &dyn std::error::Error) -> CredentialsError {
    CredentialsError(error.to_string())
}
