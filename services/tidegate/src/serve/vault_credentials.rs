//! Credentials out of the vault, kept for a short time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tidegate_contracts::Parked;
use tidegate_daemon::Clock;
use tidegate_executor::{Credentials, CredentialsError, Lent, Parking, Turn, Version};
use tidegate_provider::Credential;
use tidegate_provider::file::Name;
use tidegate_registry::{Leased, Refresh, Tenant, Vault};

/// How long a credential is used without looking whether it has changed, in ms.
const KEPT_MS: i64 = 5_000;
/// Most credentials kept; all are forgotten above it.
const KEPT_MAX: usize = 10_000;

type Key = (String, String);

/// Credentials out of the vault.
pub(crate) struct VaultCredentials {
    vault: Vault,
    clock: Clock,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    lent: HashMap<Key, (i64, Option<Lent>)>,
    /// Times that something was forgotten: what was read before is not kept after.
    forgotten: u64,
}

impl VaultCredentials {
    pub(crate) fn new(vault: Vault, clock: Clock) -> Self {
        Self { vault, clock, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whatever was kept is of before.
    fn forget(&self, tenant: &str, name: &str) {
        let mut kept = self.kept();
        kept.lent.remove(&(tenant.to_owned(), name.to_owned()));
        kept.forgotten += 1;
    }
}

#[async_trait]
impl Credentials for VaultCredentials {
    async fn get(&self, tenant: &str, name: &str) -> Result<Option<Lent>, CredentialsError> {
        let (key, now_ms) = ((tenant.to_owned(), name.to_owned()), (self.clock)());
        let forgotten = {
            let kept = self.kept();
            if let Some((read_ms, lent)) = kept.lent.get(&key)
                && now_ms - read_ms < KEPT_MS
            {
                return Ok(lent.clone());
            }
            kept.forgotten
        };
        let opened = self.vault.open(&owner(tenant)?, &named(name)?).await.map_err(|error| unreadable(&error))?;
        let lent = opened.map(|opened| Lent {
            credential: Arc::new(opened.credential),
            version: opened.version,
            parked: opened.parked,
        });
        let mut kept = self.kept();
        if kept.lent.len() >= KEPT_MAX {
            kept.lent.clear();
        }
        if kept.forgotten == forgotten {
            kept.lent.insert(key, (now_ms, lent.clone()));
        }
        Ok(lent)
    }

    fn look_again(&self) {
        let mut kept = self.kept();
        kept.lent.clear();
        kept.forgotten += 1;
    }

    async fn park(&self, tenant: &str, version: i64, parked: &Parked) -> Result<Parking, CredentialsError> {
        let done = self.vault.park(&owner(tenant)?, version, parked).await.map_err(|error| unreadable(&error))?;
        self.forget(tenant, &parked.credential);
        Ok(if done { Parking::Done } else { Parking::Outdated })
    }

    async fn lease(&self, of: &Version<'_>, until_ms: i64, now_ms: i64) -> Result<Turn, CredentialsError> {
        let (tenant, name) = (owner(of.tenant)?, named(of.name)?);
        let refresh = Refresh { tenant: &tenant, name: &name, version: of.version, by: of.by };
        match self.vault.lease(&refresh, until_ms, now_ms).await.map_err(|error| unreadable(&error))? {
            Leased::Yes { tries, lost } => {
                Ok(Turn::Mine { tries: u32::try_from(tries).unwrap_or(u32::MAX), lost: lost > 0 })
            }
            Leased::NotBefore(until_ms) => Ok(Turn::NotBefore(until_ms)),
            Leased::Changed => {
                self.forget(of.tenant, of.name);
                Ok(Turn::Changed)
            }
        }
    }

    async fn postpone(&self, of: &Version<'_>, until_ms: i64, lost: bool) -> Result<(), CredentialsError> {
        let (tenant, name) = (owner(of.tenant)?, named(of.name)?);
        let refresh = Refresh { tenant: &tenant, name: &name, version: of.version, by: of.by };
        self.vault.postpone(&refresh, until_ms, lost).await.map_err(|error| unreadable(&error))
    }

    async fn renew(&self, of: &Version<'_>, credential: &Credential, now_ms: i64) -> Result<bool, CredentialsError> {
        let (tenant, name) = (owner(of.tenant)?, named(of.name)?);
        let renewed = self.vault.renew((&tenant, &name), of.version, credential, now_ms).await;
        self.forget(of.tenant, of.name);
        renewed.map_err(|error| unreadable(&error))
    }
}

fn named(name: &str) -> Result<Name, CredentialsError> {
    Name::try_from(name.to_owned()).map_err(CredentialsError)
}

fn owner(tenant: &str) -> Result<Tenant, CredentialsError> {
    tenant.parse().map_err(|error| unreadable(&error))
}

fn unreadable(error: &dyn std::error::Error) -> CredentialsError {
    CredentialsError(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use secrecy::ExposeSecret as _;
    use tempfile::TempDir;
    use tidegate_registry::{Registry as _, SqliteRegistry};

    use super::*;

    #[tokio::test]
    async fn a_credential_is_kept_for_a_while_and_read_anew_when_a_job_goes_on() {
        let folder = TempDir::new().unwrap();
        let state = folder.path().join("state.db");
        let ledger = tidegate_ledger::SqliteLedger::open(&state, tidegate_ledger::Sync::Normal).await.unwrap();
        let registry = Arc::new(SqliteRegistry::open(&state).await.unwrap());
        let (tenant, name) = (owner("acme").unwrap(), named("alice").unwrap());
        registry.add_tenant(&tenant, 0).await.unwrap();
        let vault = Vault::new(registry, Arc::new(crate::serve::sealing_keys(&state).unwrap()));
        let now = Arc::new(AtomicI64::new(1));
        let clock: Clock = Arc::new({
            let now = Arc::clone(&now);
            move || now.load(Ordering::Relaxed)
        });
        let kept = VaultCredentials::new(vault.clone(), clock);
        let put = async |token: &str| {
            let fields = [("token".to_owned(), token.to_owned().into())];
            vault.put(&tenant, &name, &Credential::new("alice", fields), 0).await.unwrap();
        };
        let token = async || {
            let lent = kept.get("acme", "alice").await.unwrap().unwrap();
            lent.credential.field("token").unwrap().expose_secret().to_owned()
        };
        put("one").await;
        assert_eq!(token().await, "one");
        put("two").await;
        assert_eq!(token().await, "one");
        kept.look_again();
        assert_eq!(token().await, "two");
        put("three").await;
        now.store(1 + KEPT_MS, Ordering::Relaxed);
        assert_eq!(token().await, "three");
        ledger.close().await;
    }
}
