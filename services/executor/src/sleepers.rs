//! Calls that sleep in hand until they may go: who is woken when a permit comes back, who looks whether another executor's did, and who
//! is put away when they are all that there is.
//!
//! Calls of a job that wait for the same are alike: whichever asks is granted what there is. So they look in turn, together
//! about as often as one of them would alone; and a permit that comes back wakes one of them, and one of each job beside it, since
//! it may be another's turn.
//!
//! Calls of several jobs stand in one queue, each job's one after the other. Where those of one wait and fill the hand, nobody gets to those
//! of another, which may have room: so some of them are put away, and come back behind the others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_contracts::{JobId, Lane};
use tokio::sync::Notify;

/// Jobs of which one call is woken at once; the others' calls look by themselves.
const WOKEN_MAX: usize = 8;

/// Calls that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    /// Whom they are to be made to.
    pub(crate) provider: String,
    /// With the provider, the hand that they are in.
    pub(crate) lane: Lane,
    /// What they wait for, in words.
    pub(crate) reason: String,
    /// Their job.
    pub(crate) job: JobId,
    /// Whether a permit that comes back may make room for them.
    pub(crate) may_end_early: bool,
}

/// Why a call sleeps no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woke {
    /// It may be its turn.
    ToAsk,
    /// It is to make room in the hand.
    PutAway,
}

#[derive(Debug, Default)]
struct Room {
    asleep: u32,
    wake: Arc<Notify>,
    put_away: Arc<Notify>,
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
    pub(crate) async fn sleep(&self, kind: Kind, pause: Duration, longest: Duration) -> Woke {
        let bed = self.lie_down(kind);
        let pause = (pause * bed.asleep).min(longest.max(pause));
        tokio::select! {
            () = bed.wake.notified() => Woke::ToAsk,
            () = tokio::time::sleep(pause) => Woke::ToAsk,
            () = bed.put_away.notified() => Woke::PutAway,
        }
    }

    fn lie_down(&self, kind: Kind) -> Bed<'_> {
        let mut rooms = self.rooms();
        let room = rooms.entry(kind.clone()).or_default();
        room.asleep += 1;
        let (wake, put_away) = (Arc::clone(&room.wake), Arc::clone(&room.put_away));
        Bed { sleepers: self, kind, asleep: room.asleep, wake, put_away }
    }

    /// A permit of a provider's came back.
    pub(crate) fn wake(&self, provider: &str) {
        let rooms = self.rooms();
        let may_go = |kind: &Kind| kind.may_end_early && kind.provider == provider;
        let woken: Vec<&Room> = rooms.iter().filter(|(kind, _)| may_go(kind)).map(|(_, room)| room).collect();
        let first = self.turn.fetch_add(WOKEN_MAX, Ordering::Relaxed) % woken.len().max(1);
        for room in woken.iter().cycle().skip(first).take(woken.len().min(WOKEN_MAX)) {
            room.wake.notify_one();
        }
    }

    /// The hand of a provider's lane, which holds so many calls, is full: of a job whose calls sleep in more than half of it, one is
    /// put away.
    pub(crate) fn put_away(&self, (provider, lane): (&str, Lane), hand: usize) {
        let rooms = self.rooms();
        let mut jobs: HashMap<JobId, Vec<&Room>> = HashMap::new();
        for (kind, room) in rooms.iter().filter(|(kind, _)| kind.lane == lane && kind.provider == provider) {
            jobs.entry(kind.job).or_default().push(room);
        }
        let too_many = |rooms: &&Vec<&Room>| 2 * rooms.iter().map(|room| room.asleep as usize).sum::<usize>() > hand;
        let largest = jobs.values().find(too_many).and_then(|rooms| rooms.iter().max_by_key(|room| room.asleep));
        if let Some(room) = largest {
            room.put_away.notify_one();
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
    put_away: Arc<Notify>,
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
            let (provider, reason) = ((*provider).to_owned(), "limit slots".to_owned());
            let kind = Kind { provider, lane: Lane::Normal, reason, job: *job, may_end_early: true };
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
    async fn one_of_those_who_fill_more_than_half_of_a_hand_is_put_away() {
        let (sleepers, one, other) = (Arc::new(Sleepers::default()), JobId::new(), JobId::new());
        let mut sleeping = asleep(&sleepers, &[("acme", other), ("acme", one), ("acme", one), ("acme", one)]).await;
        for elsewhere in [("bolt", Lane::Normal, 4), ("acme", Lane::Bulk, 4), ("acme", Lane::Normal, 6)] {
            sleepers.put_away((elsewhere.0, elsewhere.1), elsewhere.2);
            assert!(woken(&mut sleeping).await.is_empty(), "{elsewhere:?}");
        }
        sleepers.put_away(("acme", Lane::Normal), 4);
        assert_eq!(woken(&mut sleeping).await, [1]);
        sleepers.put_away(("acme", Lane::Normal), 4);
        assert!(woken(&mut sleeping).await.is_empty(), "they are half of the hand");
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
