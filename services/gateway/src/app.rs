//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tidegate_daemon::Shutdown;
use tidegate_progress::Looker;
use tidegate_registry::{KeyRow, Keys};
use tidegate_specs::Specs;

use crate::hub::Hub;
use crate::provider_names::ProviderNames;
use crate::quota::{OneAtATime, Quota};
use crate::rate::Rates;
use crate::{Config, Deps};

/// What all requests share.
pub(crate) struct App {
    pub(crate) deps: Deps,
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) specs: Specs,
    pub(crate) hub: Hub,
    pub(crate) looker: Looker,
    /// Submissions with an idempotency key that are being taken.
    pub(crate) taking: OneAtATime,
    pub(crate) rates: Rates,
    pub(crate) logins: Rates,
    pub(crate) local_pass_used: AtomicBool,
    pub(crate) provider_names: ProviderNames,
    pub(crate) watchers: Quota,
    pub(crate) item_streams: Quota,
    pub(crate) shutdown: Shutdown,
}

impl App {
    pub(crate) fn new(deps: Deps, config: Config, shutdown: Shutdown) -> Self {
        Self {
            keys: Keys::new(Arc::clone(&deps.registry)),
            specs: Specs::new(Arc::clone(&deps.ledger)),
            hub: Hub::default(),
            looker: Looker::default(),
            taking: OneAtATime::default(),
            rates: Rates::new(config.jobs_per_minute),
            logins: Rates::new(config.logins_per_minute),
            local_pass_used: AtomicBool::new(false),
            provider_names: ProviderNames::new(config.provider_names_max),
            watchers: Quota::new(config.watchers_max),
            item_streams: Quota::new(config.item_streams_max),
            deps,
            config,
            shutdown,
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        (self.deps.clock)()
    }
}

/// Whose request it is.
pub(crate) type Caller = axum::Extension<Arc<KeyRow>>;
