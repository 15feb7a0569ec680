//! Leave to make a call: what the executor asks the arbiter.

use async_trait::async_trait;
use tidegate_limits::{Decision, Question, Report};

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
