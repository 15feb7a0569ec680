//! The buckets that answers have named: which budgets endpoints share.
//!
//! Each executor learns them by its own answers, one for each endpoint. Until then an endpoint is a bucket of its own; what it has
//! taken by then is not counted in the bucket, whose next answer tells what is left of it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tidegate_provider::Buckets;

/// Most providers of tenants that are kept apart; all are forgotten above it, and learnt anew.
const PROVIDERS_MAX: usize = 10_000;

type Told = HashMap<(String, String), Arc<Buckets>>;

/// Buckets by tenant and provider.
#[derive(Debug, Default)]
pub(crate) struct KnownBuckets(RwLock<Told>);

impl KnownBuckets {
    /// What is known of a tenant's provider; nothing of most.
    pub(crate) fn of(&self, tenant: &str, provider: &str) -> Option<Arc<Buckets>> {
        let told = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if told.is_empty() {
            return None;
        }
        told.get(&(tenant.to_owned(), provider.to_owned())).cloned()
    }

    /// Notes the bucket that an answer named for an endpoint in a limit.
    pub(crate) fn learn(&self, (tenant, provider): (&str, &str), limit: &str, endpoint: &str, bucket: &str) {
        // Nearly every answer names what is known, which is not to be locked or copied for.
        let before = self.of(tenant, provider);
        if before.is_some_and(|before| before.of(limit, endpoint) == Some(bucket)) {
            return;
        }
        let mut told = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= PROVIDERS_MAX {
            told.clear();
        }
        let buckets = told.entry((tenant.to_owned(), provider.to_owned())).or_default();
        Arc::make_mut(buckets).learn(limit, endpoint, bucket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_known_by_tenant_and_provider() {
        let known = KnownBuckets::default();
        known.learn(("acme", "discord"), "channel", "get", "one");
        known.learn(("acme", "discord"), "channel", "get", "two");
        let of =
            |tenant, provider| known.of(tenant, provider).and_then(|told| Some(told.of("channel", "get")?.to_owned()));
        assert_eq!(of("acme", "discord").as_deref(), Some("two"));
        assert_eq!((of("acme", "other"), of("umbrella", "discord")), (None, None));
    }
}
