//! Whether a process is ready: a list of named checks. Each looks at state that its owner keeps, so asking
//! is quick and never waits for a broker or a database.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Clock, Shutdown};

/// What a check says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    Up,
    /// It is not, and why: for the people who run it, without secrets.
    Down(String),
}

/// One part's view of itself.
pub trait Check: Send + Sync {
    /// How the part is now; must not block.
    fn status(&self) -> Status;
}

type Named = (&'static str, Arc<dyn Check>);

/// All checks of a process. Clones are one and the same.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<Mutex<Vec<Named>>>,
}

impl Health {
    /// No checks: ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check; one of the same name is replaced.
    pub fn register(&self, name: &'static str, check: Arc<dyn Check>) {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.retain(|(other, _)| *other != name);
        checks.push((name, check));
    }

    /// What each check says, in the order of registration.
    #[must_use]
    pub fn report(&self) -> Vec<(&'static str, Status)> {
        // Asked outside of the lock, which a check may want to take.
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        checks.into_iter().map(|(name, check)| (name, check.status())).collect()
    }

    /// Whether every check is up.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.report().iter().all(|(_, status)| *status == Status::Up)
    }
}

/// A check that its owner sets.
#[derive(Debug)]
pub struct Flag(Mutex<Status>);

impl Flag {
    /// Down until it is set, with `reason`.
    #[must_use]
    pub fn down(reason: &str) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Status::Down(reason.to_owned()))))
    }

    /// Changes what it says.
    pub fn set(&self, status: Status) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

impl Check for Flag {
    fn status(&self) -> Status {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A check that goes down when its owner has not beaten for a while: finds the loop that hangs.
pub struct Heartbeat {
    clock: Clock,
    max_age_ms: i64,
    last_ms: AtomicI64,
}

impl Heartbeat {
    /// Beats now; goes down when more than `max_age_ms` milliseconds pass without a beat.
    #[must_use]
    pub fn new(clock: Clock, max_age_ms: i64) -> Arc<Self> {
        let last_ms = AtomicI64::new(clock());
        Arc::new(Self { clock, max_age_ms, last_ms })
    }

    /// Still alive.
    pub fn beat(&self) {
        self.last_ms.store((self.clock)(), Ordering::Relaxed);
    }
}

impl Check for Heartbeat {
    fn status(&self) -> Status {
        let age_ms = (self.clock)().saturating_sub(self.last_ms.load(Ordering::Relaxed));
        if age_ms <= self.max_age_ms { Status::Up } else { Status::Down(format!("no sign of life for {age_ms} ms")) }
    }
}

/// A process that is stopping takes nothing new.
impl Check for Shutdown {
    fn status(&self) -> Status {
        self.cause().map_or(Status::Up, |cause| Status::Down(format!("stopping: {cause}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_every_check_is_up() {
        let (health, flag) = (Health::new(), Flag::down("connecting"));
        assert!(health.is_ready());
        health.register("bus", flag.clone());
        assert_eq!(health.report(), [("bus", Status::Down("connecting".into()))]);
        flag.set(Status::Up);
        assert!(health.is_ready());
        health.register("bus", Flag::down("replaced"));
        assert_eq!(health.report(), [("bus", Status::Down("replaced".into()))]);
    }

    #[test]
    fn a_heartbeat_goes_down_only_after_its_age() {
        let now = Arc::new(AtomicI64::new(1_000));
        let clock: Clock = Arc::new({
            let now = now.clone();
            move || now.load(Ordering::Relaxed)
        });
        let heartbeat = Heartbeat::new(clock, 500);
        for (at, up) in [(1_500, true), (1_501, false), (900, true)] {
            now.store(at, Ordering::Relaxed);
            assert_eq!(heartbeat.status() == Status::Up, up, "{at}");
        }
        now.store(9_000, Ordering::Relaxed);
        heartbeat.beat();
        assert_eq!(heartbeat.status(), Status::Up);
    }

    #[test]
    fn a_stopping_process_is_not_ready() {
        let (health, shutdown) = (Health::new(), Shutdown::new());
        health.register("process", Arc::new(shutdown.clone()));
        assert!(health.is_ready());
        shutdown.request();
        assert_eq!(health.report(), [("process", Status::Down("stopping: asked for".into()))]);
    }
}
