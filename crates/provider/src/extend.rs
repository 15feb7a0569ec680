//! One provider file extending another.

use std::collections::BTreeMap;

use crate::file::{Body, ProviderFile, Retry};

/// What `child` says, and what it leaves to `parent`: error rules (the child's come first), limits by id, headers,
/// query parameters and config by name, timeouts, body, retry, authentication and pools of credentials. Address and
/// endpoints are the child's own.
#[must_use]
pub fn inherit(child: ProviderFile, parent: ProviderFile) -> ProviderFile {
    let own = |limit: &crate::file::Limit| child.limits.iter().any(|other| other.id == limit.id);
    let inherited: Vec<_> = parent.limits.into_iter().filter(|limit| !own(limit)).collect();
    ProviderFile {
        extends: None,
        auth: child.auth.or(parent.auth),
        credential_pool: child.credential_pool.or(parent.credential_pool),
        headers: merge(child.headers, parent.headers),
        query: merge(child.query, parent.query),
        timeouts: child.timeouts.or(parent.timeouts),
        body: Body {
            max_bytes: child.body.max_bytes.or(parent.body.max_bytes),
            max_ratio: child.body.max_ratio.or(parent.body.max_ratio),
        },
        retry: Retry {
            attempts: child.retry.attempts.or(parent.retry.attempts),
            budget: child.retry.budget.or(parent.retry.budget),
            base: child.retry.base.or(parent.retry.base),
            cap: child.retry.cap.or(parent.retry.cap),
        },
        config: merge(child.config, parent.config),
        limits: [child.limits, inherited].concat(),
        errors: [child.errors, parent.errors].concat(),
        ..child
    }
}

fn merge<V>(child: BTreeMap<String, V>, parent: BTreeMap<String, V>) -> BTreeMap<String, V> {
    parent.into_iter().chain(child).collect()
}
