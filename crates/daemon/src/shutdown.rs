//! The end of a process: asked for once, heard everywhere.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::signal::Signals;

/// Why the end was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// By code, with [`Shutdown::request`].
    Asked,
    /// By a signal, named as in `SIGTERM`.
    Signal(&'static str),
    /// By the failure of a task.
    TaskFailed {
        /// The task's name.
        task: String,
        /// Why.
        reason: TaskError,
    },
}

/// What a task failed of: its error, or what it panicked with. Clones share it; equal are those that read the same.
///
/// It reads as the error, and its source is the error's, so that a chain of causes says nothing twice.
#[derive(Debug, Clone)]
pub struct TaskError(Arc<anyhow::Error>);

impl TaskError {
    /// The error itself, for those who decide by its kind.
    #[must_use]
    pub fn error(&self) -> &anyhow::Error {
        &self.0
    }
}

impl From<anyhow::Error> for TaskError {
    fn from(error: anyhow::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for TaskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl PartialEq for TaskError {
    fn eq(&self, other: &Self) -> bool {
        format!("{:#}", self.0) == format!("{:#}", other.0)
    }
}

impl Eq for TaskError {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("asked for"),
            Self::Signal(name) => f.write_str(name),
            Self::TaskFailed { task, reason } => write!(f, "task {task:?} failed: {:#}", reason.error()),
        }
    }
}

/// Asks for a clean stop and hears of it. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    cause: Arc<OnceLock<Cause>>,
    parent: Option<Arc<Shutdown>>,
}

impl Shutdown {
    /// One that only [`Shutdown::request`] sets off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that SIGINT and SIGTERM set off. The first of them asks for a clean stop; the second ends the
    /// process at once, with status 130 or 143 as a shell reports these signals.
    ///
    /// # Errors
    /// When the signals' handlers can't be set.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let mut signals = Signals::new()?;
        let asked = shutdown.clone();
        tokio::spawn(async move {
            let (name, _) = signals.next().await;
            tracing::info!(signal = name, "stopping; a second signal ends the process at once");
            asked.request_because(Cause::Signal(name));
            let (name, status) = signals.next().await;
            tracing::warn!(signal = name, "ended at once by a second signal");
            std::process::exit(status);
        });
        Ok(shutdown)
    }

    /// Returns once the stop is asked for, at once if it was before.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Whether the stop has been asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Asks for the stop.
    pub fn request(&self) {
        self.request_because(Cause::Asked);
    }

    /// Asks for the stop and says why. The first cause stays.
    pub fn request_because(&self, cause: Cause) {
        if !self.is_requested() {
            // A cause set in between is the first one, which stays.
            let _ = self.cause.set(cause);
        }
        self.token.cancel();
    }

    /// Why the stop was asked for; `None` while it is not.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.cause.get().cloned().or_else(|| self.parent.as_ref().and_then(|parent| parent.cause()))
    }

    /// One that is set off with this one, and can be set off alone: for a part of a process.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token(), cause: Arc::default(), parent: Some(Arc::new(self.clone())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_heard_by_clones_and_children_before_and_after() {
        let shutdown = Shutdown::new();
        let (clone, child) = (shutdown.clone(), shutdown.child().child());
        let waiting = tokio::spawn({
            let child = child.clone();
            async move { child.requested().await }
        });
        assert!(!clone.is_requested() && clone.cause().is_none() && child.cause().is_none());
        shutdown.request();
        waiting.await.expect("heard");
        clone.requested().await;
        assert_eq!((clone.cause(), child.cause()), (Some(Cause::Asked), Some(Cause::Asked)));
    }

    #[tokio::test]
    async fn a_child_is_set_off_alone() {
        let shutdown = Shutdown::new();
        let child = shutdown.child();
        child.request();
        assert!(child.is_requested() && !shutdown.is_requested());
        assert_eq!((child.cause(), shutdown.cause()), (Some(Cause::Asked), None));
    }

    #[test]
    fn the_first_cause_stays() {
        let shutdown = Shutdown::new();
        shutdown.request_because(Cause::Signal("SIGTERM"));
        shutdown.request();
        assert_eq!(shutdown.cause(), Some(Cause::Signal("SIGTERM")));
    }
}
