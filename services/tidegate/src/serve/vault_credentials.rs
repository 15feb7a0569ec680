//! Credentials out of the vault, kept for a short time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tidegate_daemon::Clock;
use tidegate_executor::{Credentials, CredentialsError};
use tidegate_provider::Credential;
use tidegate_provider::file::Name;
use tidegate_registry::{Tenant, Vault};

/// How long a credential is used without looking whether it has changed, in ms.
const KEPT_MS: i64 = 5_000;
/// Most credentials kept; all are forgotten above it.
const KEPT_MAX: usize = 10_000;

type Kept = HashMap<(String, String), (i64, Option<Arc<Credential>>)>;

/// Credentials out of the vault.
pub(crate) struct VaultCredentials {
    vault: Vault,
    clock: Clock,
    kept: Mutex<Kept>,
}

impl VaultCredentials {
    pub(crate) fn new(vault: Vault, clock: Clock) -> Self {
        Self { vault, clock, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Credentials for VaultCredentials {
    async fn get(&self, tenant: &str, name: &str) -> Result<Option<Arc<Credential>>, CredentialsError> {
        let (key, now_ms) = ((tenant.to_owned(), name.to_owned()), (self.clock)());
        if let Some((read_ms, credential)) = self.kept().get(&key)
            && now_ms - read_ms < KEPT_MS
        {
            return Ok(credential.clone());
        }
        let unreadable = |error: &dyn std::error::Error| CredentialsError(error.to_string());
        let of: Tenant = tenant.parse().map_err(|error| unreadable(&error))?;
        let named = Name::try_from(name.to_owned()).map_err(|error| CredentialsError(error.to_string()))?;
        let opened = self.vault.open(&of, &named).await.map_err(|error| unreadable(&error))?;
        let credential = opened.map(|opened| Arc::new(opened.credential));
        let mut kept = self.kept();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key, (now_ms, credential.clone()));
        Ok(credential)
    }
}
