//! Why providers are taken for ill: what this executor last saw of them. Arbiters know that one is down, and not why.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use tidegate_contracts::{Failure, WaitReason};

/// Most providers of tenants that are kept apart; all are forgotten above it.
const PROVIDERS_MAX: usize = 10_000;

/// The last trouble, by tenant and provider, until one of its calls goes well.
#[derive(Debug, Default)]
pub(crate) struct Troubles(RwLock<HashMap<(String, String), String>>);

impl Troubles {
    /// A call of a tenant's was answered so, or not at all. Secrets are removed already.
    pub(crate) fn ill(&self, tenant: &str, provider: &str, failure: &Failure) {
        let status = failure.status.map_or(String::new(), |status| format!("status {status}: "));
        let cause = format!("{status}{}", failure.message).chars().take(WaitReason::CAUSE_MAX_CHARS).collect();
        let mut last = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= PROVIDERS_MAX {
            last.clear();
        }
        last.insert((tenant.to_owned(), provider.to_owned()), cause);
    }

    /// A call of a tenant's went well.
    pub(crate) fn well(&self, tenant: &str, provider: &str) {
        // Nearly always, and then nobody waits for a lock.
        if self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return;
        }
        let mut last = self.0.write().unwrap_or_else(PoisonError::into_inner);
        last.remove(&(tenant.to_owned(), provider.to_owned()));
    }

    /// What was seen last, if it was trouble.
    pub(crate) fn of(&self, tenant: &str, provider: &str) -> Option<String> {
        let last = self.0.read().unwrap_or_else(PoisonError::into_inner);
        last.get(&(tenant.to_owned(), provider.to_owned())).cloned()
    }
}

#[cfg(test)]
mod tests {
    use tidegate_contracts::Class;

    use super::*;

    fn failure(status: Option<u16>, message: &str) -> Failure {
        Failure { class: Class::ProviderDown, status, message: message.to_owned() }
    }

    #[test]
    fn the_last_trouble_of_a_tenant_s_provider_is_known_until_it_is_well() {
        let troubles = Troubles::default();
        troubles.ill("umbrella", "acme", &failure(Some(503), "maintenance"));
        troubles.ill("umbrella", "acme", &failure(None, "connection refused"));
        troubles.ill("other", "acme", &failure(Some(503), &"x".repeat(1_000)));
        assert_eq!(troubles.of("umbrella", "acme").as_deref(), Some("connection refused"));
        let long = troubles.of("other", "acme").expect("it is known");
        assert!(long.starts_with("status 503: xxx") && long.len() == WaitReason::CAUSE_MAX_CHARS, "{long}");
        troubles.well("umbrella", "acme");
        assert_eq!((troubles.of("umbrella", "acme"), troubles.of("umbrella", "bolt")), (None, None));
    }
}
