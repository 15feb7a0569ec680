//! Calls that sleep for a slot: who is woken when one comes free, and who looks for those of other executors.
//!
//! Calls of a job that wait for the same are alike: whichever asks is granted what there is. So they look in turn, together
//! about as often as one of them would alone; and a permit that comes back wakes one of them, and one of each job beside it, since
//! it may be another's turn.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_contracts::JobId;
use tokio::sync::Notify;

/// Jobs of which one call is woken at once; the others' calls look by themselves.
const WOKEN_MAX: usize = 8;

/// Calls that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    /// Whose slots they wait for.
    pub(crate) provider: String,
    /// What they wait for, in words.
    pub(crate) reason: String,
    /// Their job.
    pub(crate) job: JobId,
}

#[derive(Debug, Default)]
struct Room {
    asleep: u32,
    wake: Arc<Notify>,
}

/// All of an executor's.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    rooms: Mutex<HashMap<Kind, Room>>,
    turn: AtomicUsize,
}

impl Sleepers {
    fn rooms(&self) -> MutexGuard<'_, HashMap<Kind, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until it is woken, or until its turn to look, where one alone would look every `pause`; at most `longest`, or the
    /// pause where that is longer.
    pub(crate) async fn sleep(&self, kind: Kind, pause: Duration, longest: Duration) {
        let bed = self.lie_down(kind);
        let pause = (pause * bed.asleep).min(longest.max(pause));
        // Nobody woke it in time: it looks.
        let _ = tokio::time::timeout(pause, bed.wake.notified()).await;
    }

    fn lie_down(&self, kind: Kind) -> Bed<'_> {
        let mut rooms = self.rooms();
        let room = rooms.entry(kind.clone()).or_default();
        room.asleep += 1;
        Bed { sleepers: self, kind, asleep: room.asleep, wake: Arc::clone(&room.wake) }
    }

    /// A permit of a provider's came back.
    pub(crate) fn wake(&self, provider: &str) {
        let rooms = self.rooms();
        let woken: Vec<&Room> =
            rooms.iter().filter(|(kind, _)| kind.provider == provider).map(|(_, room)| room).collect();
        let first = self.turn.fetch_add(WOKEN_MAX, Ordering::Relaxed) % woken.len().max(1);
        for room in woken.iter().cycle().skip(first).take(woken.len().min(WOKEN_MAX)) {
            room.wake.notify_one();
        }
    }
}

/// A place to sleep in.
struct Bed<'a> {
    sleepers: &'a Sleepers,
    kind: Kind,
    /// How many slept when it lay down, itself included.
    asleep: u32,
    wake: Arc<Notify>,
}

impl Drop for Bed<'_> {
    fn drop(&mut self) {
        let mut rooms = self.sleepers.rooms();
        let Some(room) = rooms.get_mut(&self.kind) else { return };
        room.asleep -= 1;
        if room.asleep == 0 {
            rooms.remove(&self.kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;
    use tokio::time::Instant;

    use super::*;

    const PAUSE: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(2);

    /// So many calls that go to sleep now. Each says its number, and when it woke, in ms.
    async fn asleep(sleepers: &Arc<Sleepers>, of: &[(&str, JobId)]) -> JoinSet<(usize, u128)> {
        let (mut sleeping, started) = (JoinSet::new(), Instant::now());
        for (number, (provider, job)) in of.iter().enumerate() {
            let kind = Kind { provider: (*provider).to_owned(), reason: "limit slots".to_owned(), job: *job };
            let sleepers = Arc::clone(sleepers);
            sleeping.spawn(async move {
                sleepers.sleep(kind, PAUSE, LONGEST).await;
                (number, started.elapsed().as_millis())
            });
            tokio::task::yield_now().await;
        }
        sleeping
    }

    /// Those that wake without time passing.
    async fn woken(sleeping: &mut JoinSet<(usize, u128)>) -> Vec<usize> {
        let mut woken = Vec::new();
        while let Ok(Some(Ok((number, _)))) = tokio::time::timeout(Duration::from_millis(1), sleeping.join_next()).await
        {
            woken.push(number);
        }
        woken.sort_unstable();
        woken
    }

    #[tokio::test(start_paused = true)]
    async fn calls_alike_look_in_turn_and_none_sleeps_for_long() {
        let (sleepers, job) = (Arc::new(Sleepers::default()), JobId::new());
        let mut woke = asleep(&sleepers, &[("acme", job); 10]).await.join_all().await;
        woke.sort_unstable();
        let woke: Vec<u128> = woke.into_iter().map(|(_, at_ms)| at_ms).collect();
        assert_eq!(woke, [250, 500, 750, 1_000, 1_250, 1_500, 1_750, 2_000, 2_000, 2_000]);
        assert!(sleepers.rooms().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_wakes_one_call_of_each_job_of_its_provider() {
        let (sleepers, one, other) = (Arc::new(Sleepers::default()), JobId::new(), JobId::new());
        let of = [("acme", one), ("acme", one), ("acme", other), ("bolt", one)];
        let mut sleeping = asleep(&sleepers, &of).await;
        assert!(woken(&mut sleeping).await.is_empty());
        sleepers.wake("acme");
        assert_eq!(woken(&mut sleeping).await, [0, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_jobs_only_some_are_woken_at_a_time() {
        let sleepers = Arc::new(Sleepers::default());
        let of: Vec<_> = (0..3 * WOKEN_MAX).map(|_| ("acme", JobId::new())).collect();
        let mut sleeping = asleep(&sleepers, &of).await;
        sleepers.wake("acme");
        assert_eq!(woken(&mut sleeping).await.len(), WOKEN_MAX);
    }
}
