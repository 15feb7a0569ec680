//! Samples of answers that no error rule speaks of: gathered here, and written together now and then, so that no call waits
//! for them. What can't be written is let go: what matters is seen again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_contracts::Call;
use tidegate_daemon::{Clock, Shutdown};
use tidegate_ledger::{NewUnmatched, UnmatchedAnswers};
use tidegate_provider::Unmatched;

/// Between two writes.
const WRITE_EVERY: Duration = Duration::from_secs(2);
/// Different errors that are gathered between two writes; what comes beyond is let go.
const GATHERED_MAX: usize = 200;

/// Tenant, provider, fingerprint.
type Key = (String, String, i64);

/// What was gathered since the last write.
#[derive(Debug, Default)]
pub(crate) struct Samples(Mutex<HashMap<Key, NewUnmatched>>);

impl Samples {
    fn gathered(&self) -> MutexGuard<'_, HashMap<Key, NewUnmatched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one; of one that is here already, the count.
    pub(crate) fn add(&self, tenant: &str, call: &Call, sample: &Unmatched, now_ms: i64) {
        let fingerprint = sample.fingerprint();
        let key = (tenant.to_owned(), call.provider.clone(), fingerprint);
        let mut gathered = self.gathered();
        if let Some(known) = gathered.get_mut(&key) {
            known.count += 1;
            known.last_seen_ms = now_ms;
        } else if gathered.len() < GATHERED_MAX
            && let Ok(sample) = serde_json::to_string(sample)
        {
            let (tenant, provider, _) = key.clone();
            let new = NewUnmatched { tenant, provider, fingerprint, sample, count: 1, last_seen_ms: now_ms };
            gathered.insert(key, new);
        }
    }

    /// Writes what was gathered until the shutdown is requested, and once more then.
    pub(crate) async fn write_on(&self, store: Arc<dyn UnmatchedAnswers>, clock: Clock, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(WRITE_EVERY);
        loop {
            let last = tokio::select! {
                () = shutdown.requested() => true,
                _ = ticks.tick() => false,
            };
            let samples: Vec<NewUnmatched> = self.gathered().drain().map(|(_, sample)| sample).collect();
            if !samples.is_empty()
                && let Err(error) = store.keep_unmatched(&samples, clock()).await
            {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, samples = samples.len(), "samples of strange answers are let go");
            }
            if last {
                return;
            }
        }
    }
}
