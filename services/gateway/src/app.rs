//! What all requests share.

use std::sync::Arc;

use tidegate_daemon::Shutdown;
use tidegate_registry::{KeyRow, Keys};

use crate::hub::Hub;
use crate::quota::{OneAtATime, Quota};
use crate::rate::Rates;
use crate::{Config, Deps};

/// What all requests share.
pub(crate) struct App {
    pub(crate) deps: Deps,
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) hub: Hub,
    /// Submissions with an idempotency key that are being taken.
    pub(crate) taking: OneAtATime,
    pub(crate) rates: Rates,
    pub(crate) watchers: Quota,
    pub(crate) item_streams: Quota,
    pub(crate) shutdown: Shutdown,
}

impl App {
    pub(crate) fn new(deps: Deps, config: Config, shutdown: Shutdown) -> Self {
        Self {
            keys: Keys::new(Arc::clone(&deps.registry)),
            hub: Hub::default(),
            taking: OneAtATime::default(),
            rates: Rates::new(config.jobs_per_minute),
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
