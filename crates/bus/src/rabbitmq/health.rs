//! Whether the bus works: its links, and that every consumer is subscribed and polled.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_contracts::topology::Queue;
use tidegate_daemon::{Check, Status};
use tokio::time::Instant;

use super::link::{BLOCKED, Link};

/// A link is up, and the broker takes what comes over it.
pub(super) struct Connected(pub(super) Arc<Link>);

impl Check for Connected {
    fn status(&self) -> Status {
        match self.0.lost_for() {
            None if self.0.is_blocked() => Status::Down(BLOCKED.to_owned()),
            None => Status::Up,
            Some(time) => Status::Down(format!("no connection to the broker for {} s", time.as_secs())),
        }
    }
}

/// All consumers of a bus.
#[derive(Clone)]
pub(super) struct Roster {
    subscribe_within: Duration,
    poll_within: Duration,
    next: Arc<AtomicU64>,
    present: Arc<Mutex<HashMap<u64, Entry>>>,
}

struct Entry {
    queue: Queue,
    unsubscribed_since: Option<Instant>,
    /// When it was polled last; none while it waits.
    idle_since: Option<Instant>,
}

impl Roster {
    /// How long a consumer may be without its subscription, and how long with nobody polling it.
    pub(super) fn new(subscribe_within: Duration, poll_within: Duration) -> Self {
        Self { subscribe_within, poll_within, next: Arc::default(), present: Arc::default() }
    }

    /// A consumer comes, and is not subscribed yet.
    pub(super) fn enter(&self, queue: &Queue) -> Presence {
        let (id, now) = (self.next.fetch_add(1, Ordering::Relaxed), Some(Instant::now()));
        let entry = Entry { queue: queue.clone(), unsubscribed_since: now, idle_since: now };
        self.present.lock().unwrap_or_else(PoisonError::into_inner).insert(id, entry);
        Presence { roster: self.clone(), id }
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.present.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&id) {
            change(entry);
        }
    }
}

impl Check for Roster {
    fn status(&self) -> Status {
        let longer = |since: Option<Instant>, most: Duration| since.is_some_and(|since| since.elapsed() > most);
        for entry in self.present.lock().unwrap_or_else(PoisonError::into_inner).values() {
            if longer(entry.unsubscribed_since, self.subscribe_within) {
                return Status::Down(format!("not subscribed to {}", entry.queue));
            }
            if longer(entry.idle_since, self.poll_within) {
                return Status::Down(format!("nobody polls the consumer of {}", entry.queue));
            }
        }
        Status::Up
    }
}

/// One consumer's entry; gone when dropped.
pub(super) struct Presence {
    roster: Roster,
    id: u64,
}

impl Presence {
    pub(super) fn subscribed(&self, is: bool) {
        let since = (!is).then(Instant::now);
        self.roster.change(self.id, |entry| entry.unsubscribed_since = since);
    }

    /// It waits for a message, until what this returns is dropped.
    pub(super) fn waiting(&self) -> Waiting {
        self.roster.change(self.id, |entry| entry.idle_since = None);
        Waiting { roster: self.roster.clone(), id: self.id }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.roster.present.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// While a consumer waits.
pub(super) struct Waiting {
    roster: Roster,
    id: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.roster.change(self.id, |entry| entry.idle_since = Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_that_is_not_subscribed_or_not_polled_is_noticed() {
        let (long, none) = (Duration::from_secs(3_600), Duration::ZERO);
        let status = |subscribe_within, poll_within, act: &dyn Fn(&Presence) -> Option<Waiting>| {
            let roster = Roster::new(subscribe_within, poll_within);
            let presence = roster.enter(&Queue::Outcomes);
            let _waiting = act(&presence);
            while Instant::now().elapsed().is_zero() {}
            let status = roster.status();
            drop(presence);
            assert_eq!(roster.status(), Status::Up, "a consumer that is gone is no trouble");
            status
        };
        let subscribed = |presence: &Presence| {
            presence.subscribed(true);
            None
        };
        let waiting = |presence: &Presence| {
            presence.subscribed(true);
            Some(presence.waiting())
        };
        assert_eq!(status(long, long, &|_| None), Status::Up);
        assert_eq!(status(none, long, &|_| None), Status::Down("not subscribed to tidegate.outcomes.1".into()));
        assert_eq!(status(none, long, &subscribed), Status::Up);
        let unpolled = Status::Down("nobody polls the consumer of tidegate.outcomes.1".into());
        assert_eq!(status(none, none, &subscribed), unpolled);
        assert_eq!(status(none, none, &waiting), Status::Up);
        let waited = |presence: &Presence| {
            drop(waiting(presence));
            None
        };
        assert_eq!(status(none, none, &waited), unpolled);
    }
}
