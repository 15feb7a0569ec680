//! Leave to make a call: what the executor asks the arbiter.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tidegate_limits::{Decision, Question, Report};

/// The longest pause after a first failure to ask, in ms; doubles with each further one.
const FIRST_PAUSE_MS: i64 = 250;
/// The longest pause: as long as a call may sleep where it stands.
const LONGEST_PAUSE_MS: i64 = 2_000;

/// The arbiter can't be asked. Calls wait; none goes out unasked.
#[derive(Debug, thiserror::Error)]
#[error("the arbiter can't be asked: {0}")]
pub struct PermitsError(pub String);

/// The arbiter: in the same process, or behind HTTP.
#[async_trait]
pub trait Permits: Send + Sync {
    /// Whether one call may be made now.
    ///
    /// # Errors
    /// [`PermitsError`]; nothing was charged that does not come back by itself.
    async fn ask(&self, question: Question) -> Result<Decision, PermitsError>;

    /// Gives a permit back and tells what the answer said. Reporting twice does no harm.
    ///
    /// # Errors
    /// [`PermitsError`]; the permit comes back by its lease.
    async fn report(&self, report: Report) -> Result<(), PermitsError>;
}

/// How long to wait before the arbiter is asked again, after so many failures in a row: at least half of the longest, so
/// that nobody spins, and the rest by chance, so that not all come at once. `chance` is in [0, 1).
pub(crate) fn pause_ms(failures: u32, chance: f64) -> i64 {
    let doublings = failures.saturating_sub(1).min(3); // 2^3 times the first is the longest.
    let longest_ms = (FIRST_PAUSE_MS << doublings).min(LONGEST_PAUSE_MS);
    longest_ms / 2 + (chance.clamp(0.0, 1.0) * (longest_ms / 2) as f64) as i64
}

/// Whether the arbiter answers: said once when it changes, however many calls wait.
#[derive(Debug, Default)]
pub(crate) struct Reach(AtomicBool);

impl Reach {
    pub(crate) fn failed(&self, error: &PermitsError) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "calls wait for the arbiter");
        }
    }

    pub(crate) fn answered(&self) {
        if self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed) {
            tracing::info!("the arbiter answers again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_two_seconds_and_are_never_short() {
        let range = |failures| (pause_ms(failures, 0.0), pause_ms(failures, 1.0));
        let ranges: Vec<(i64, i64)> = (1..=5).map(range).collect();
        assert_eq!(ranges, [(125, 250), (250, 500), (500, 1_000), (1_000, 2_000), (1_000, 2_000)]);
    }
}
