//! The tasks of a running service.

use std::any::Any;
use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio_util::task::AbortOnDropHandle;

use crate::{Cause, Shutdown, TaskError};

/// How a service ended that did not end well.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// A task failed, and the rest stopped because of it.
    #[error("task {task:?} failed")]
    TaskFailed {
        /// The task's name.
        task: String,
        /// Why.
        #[source]
        reason: TaskError,
    },
    /// Tasks still ran at the deadline and were aborted.
    #[error("still running {deadline_ms} ms after the stop was asked for: {}", tasks.join(", "))]
    Unfinished {
        /// Their names, sorted.
        tasks: Vec<String>,
        /// What they were given, in milliseconds.
        deadline_ms: u128,
    },
}

/// The named tasks of a running service. Dropping it aborts them.
#[derive(Debug)]
#[must_use = "dropping it aborts its tasks"]
pub struct Handle {
    shutdown: Shutdown,
    tasks: JoinSet<()>,
    names: HashMap<Id, String>,
}

impl Handle {
    /// No tasks yet; they hear of the end by `shutdown`, and set it off when one of them fails.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, tasks: JoinSet::new(), names: HashMap::new() }
    }

    /// What ends this service.
    #[must_use]
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Runs a task. One that returns an error or panics is logged by its name at once, whether or not
    /// anybody waits, and asks for the shutdown with that cause.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn(&mut self, name: impl Into<String>, work: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let (name, shutdown) = (name.into(), self.shutdown.clone());
        let task = name.clone();
        // A task within a task: the inner one's panic is caught, and aborting the outer one ends both.
        let running = AbortOnDropHandle::new(tokio::spawn(work));
        let watch = async move {
            let reason = match running.await {
                Ok(Ok(())) => return tracing::debug!(task, "task ended"),
                Ok(Err(error)) => error,
                Err(error) if error.is_panic() => anyhow::anyhow!("panic: {}", text(error.into_panic().as_ref())),
                Err(_) => anyhow::anyhow!("aborted"),
            };
            tracing::error!(task, reason = format!("{reason:#}"), "task failed; stopping");
            let reason = TaskError::from(reason);
            shutdown.request_because(Cause::TaskFailed { task, reason });
        };
        let id = self.tasks.spawn(watch).id();
        self.names.insert(id, name);
    }

    /// Waits until the stop is asked for or every task has ended by itself, then at most `deadline` for the
    /// tasks to end; those that have not are aborted.
    ///
    /// # Errors
    /// [`JoinError::TaskFailed`] when that is why the service ended, else [`JoinError::Unfinished`].
    pub async fn join_within(mut self, deadline: Duration) -> Result<(), JoinError> {
        let shutdown = self.shutdown.clone();
        let stopped = tokio::select! {
            () = self.all_ended() => true,
            () = shutdown.requested() => false,
        };
        let in_time = stopped || tokio::time::timeout(deadline, self.all_ended()).await.is_ok();
        let mut tasks: Vec<String> = self.names.into_values().collect();
        if !in_time {
            tasks.sort();
            tracing::error!(tasks = tasks.join(", "), deadline_ms = deadline.as_millis(), "tasks did not stop in time");
        }
        match shutdown.cause() {
            Some(Cause::TaskFailed { task, reason }) => Err(JoinError::TaskFailed { task, reason }),
            _ if !in_time => Err(JoinError::Unfinished { tasks, deadline_ms: deadline.as_millis() }),
            _ => Ok(()),
        }
    }

    /// Cancelling it loses nothing: a task is forgotten only when it has ended.
    async fn all_ended(&mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
            self.names.remove(&id);
        }
    }
}

/// What a panic was called with, where it is text.
fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Work = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

    const DEADLINE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn tasks_that_hear_of_the_end_are_waited_for() {
        let shutdown = Shutdown::new();
        let mut handle = Handle::new(shutdown.clone());
        let (ended, mut heard) = tokio::sync::mpsc::channel(2);
        for name in ["one", "two"] {
            let (shutdown, ended) = (shutdown.child(), ended.clone());
            handle.spawn(name, async move {
                shutdown.requested().await;
                tokio::task::yield_now().await;
                Ok(ended.send(name).await?)
            });
        }
        shutdown.request();
        assert_eq!(handle.join_within(DEADLINE).await, Ok(()));
        assert_eq!([heard.try_recv().is_ok(), heard.try_recv().is_ok()], [true, true]);
    }

    #[tokio::test]
    async fn a_service_whose_tasks_are_done_ends_without_being_asked() {
        let mut handle = Handle::new(Shutdown::new());
        handle.spawn("short", async { Ok(()) });
        assert_eq!(handle.join_within(DEADLINE).await, Ok(()));
    }

    #[tokio::test]
    async fn a_task_that_fails_or_panics_stops_the_rest_and_is_named() {
        let failing = async { Err(anyhow::anyhow!("no route").context("reading plans")) };
        let panicking = async { panic!("index {} is out", 7) };
        let cases: [(Work, &str); 2] =
            [(Box::pin(failing), "reading plans: no route"), (Box::pin(panicking), "panic: index 7 is out")];
        for (work, reason) in cases {
            let shutdown = Shutdown::new();
            let mut handle = Handle::new(shutdown.clone());
            let other = shutdown.clone();
            handle.spawn("other", async move {
                other.requested().await;
                Ok(())
            });
            handle.spawn("consumer", work);
            // Without anybody joining: the failure acts by itself.
            shutdown.requested().await;
            let failed = JoinError::TaskFailed { task: "consumer".into(), reason: anyhow::anyhow!(reason).into() };
            assert_eq!(handle.join_within(DEADLINE).await, Err(failed));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_named_and_aborted_at_the_deadline() {
        let shutdown = Shutdown::new();
        let mut handle = Handle::new(shutdown.clone());
        let (held, mut dropped) = tokio::sync::oneshot::channel::<()>();
        handle.spawn("deaf", async move {
            let _held = held;
            std::future::pending().await
        });
        shutdown.request();
        let unfinished = JoinError::Unfinished { tasks: vec!["deaf".into()], deadline_ms: DEADLINE.as_millis() };
        assert_eq!(handle.join_within(DEADLINE).await, Err(unfinished));
        assert!((&mut dropped).await.is_err(), "the task is gone, and what it held");
    }
}
