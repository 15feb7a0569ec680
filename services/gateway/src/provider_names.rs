//! Names of providers that jobs of a tenant have named: each has queues of its own at the broker, for good.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidegate_ledger::{Ledger, LedgerError};

/// Names that are taken, by tenant; kept in the ledger as a JSON list.
pub(crate) struct ProviderNames {
    max: usize,
    taken: Mutex<HashMap<String, BTreeSet<String>>>,
}

impl ProviderNames {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, taken: Mutex::default() }
    }

    /// Takes a name, or says that the tenant has taken as many others as it may. Of new names that come at the same time a
    /// few may come in above it. Idempotent by the name.
    pub(crate) async fn take(
        &self,
        ledger: &dyn Ledger,
        (tenant, name): (&str, &str),
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        if self.taken().get(tenant).is_some_and(|names| names.contains(name)) {
            return Ok(true);
        }
        let kept_as = format!("provider-names {tenant}");
        let kept = ledger.kept(&kept_as).await?;
        // What nobody can read was not written by us, and is written anew.
        let mut names: BTreeSet<String> = kept.and_then(|names| serde_json::from_str(&names).ok()).unwrap_or_default();
        if !names.contains(name) {
            if names.len() >= self.max {
                return Ok(false);
            }
            names.insert(name.to_owned());
            let list = serde_json::Value::from_iter(names.iter().map(String::as_str)).to_string();
            ledger.keep(&kept_as, &list, now_ms).await?;
        }
        self.taken().insert(tenant.to_owned(), names);
        Ok(true)
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, BTreeSet<String>>> {
        // What is replaced is replaced whole.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
