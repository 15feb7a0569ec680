//! Random trees, random outcomes, and everything that may go wrong between the processes.

use std::collections::BTreeMap;

use tidegate_contracts::{Call, End, JobId, Plan};

use super::chance::{Chance, Script};
use super::scene::{LEASE, NOW, deferred, end, new_job, put_pages_of};
use crate::{Committed, JobCounts, JobState, Ledger, NewJob, RetryFilter, Swept, Windows};

/// Most moves of one simulation; more means that it hangs.
const MOVES_MAX: usize = 100_000;
/// Jobs at once.
const JOBS: usize = 2;

/// A few simulations; a test of one's own may run more of them by [`simulate`].
pub async fn whatever_happens_the_account_balances(ledger: &dyn Ledger) {
    for seed in 0..4 {
        simulate(ledger, seed).await;
    }
}

/// Runs jobs whose plans come twice, in any order, late or never; whose processes die after any step; which are stopped
/// and tried again. After each move the ledger's account must balance; in the end each job must have come, once, to what
/// its script says.
///
/// # Panics
/// Where it does not, naming the seed.
pub async fn simulate(ledger: &dyn Ledger, seed: u64) {
    let mut world = World::new(ledger, seed).await;
    for _ in 0..MOVES_MAX {
        if world.jobs.values().all(|job| job.done) {
            return;
        }
        world.make_a_move().await;
    }
    panic!("seed {seed}: not finished after {MOVES_MAX} moves: {:?}", world.jobs.values());
}

/// What is known of a job from outside.
#[derive(Debug)]
struct Job {
    script: Script,
    /// What its counters will come to.
    whole: JobCounts,
    /// Executors have heard that it was stopped.
    stopped: bool,
    paused: bool,
    /// How often the ledger told that it finished, since it was submitted or tried again.
    finished: usize,
    /// Cancelling it finished it, which nobody is told of.
    finished_by_cancel: bool,
    /// Its owner has tried again what failed by itself.
    tried_again: bool,
    done: bool,
}

/// The processes around a ledger.
struct World<'a> {
    ledger: &'a dyn Ledger,
    seed: u64,
    chance: Chance,
    windows: Windows,
    now_ms: i64,
    jobs: BTreeMap<JobId, Job>,
    /// Calls on the bus.
    calls: Vec<Call>,
    /// Plans on the bus.
    plans: Vec<Plan>,
}

impl<'a> World<'a> {
    async fn new(ledger: &'a dyn Ledger, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let windows = Windows { calls: [1 + chance.below(8) as u32; 4], lease_ms: LEASE, ..Windows::default() };
        let mut jobs = BTreeMap::new();
        for _ in 0..JOBS {
            let new = NewJob { id: chance.job(), ..new_job("a random job") };
            ledger.submit(&new, NOW).await.expect("submits");
            let script = Script { seed, job: new.id, stops: chance.one_in(3) };
            let (whole, stopped, paused, finished) = (script.whole(), false, false, 0);
            let (finished_by_cancel, tried_again, done) = (false, chance.one_in(2), false);
            let job = Job { script, whole, stopped, paused, finished, finished_by_cancel, tried_again, done };
            jobs.insert(new.id, job);
        }
        Self { ledger, seed, chance, windows, now_ms: NOW, jobs, calls: Vec::new(), plans: Vec::new() }
    }

    async fn make_a_move(&mut self) {
        self.now_ms += self.chance.below(1_000) as i64;
        match self.chance.below(200) {
            0..100 if !self.calls.is_empty() => self.execute().await,
            100..180 if !self.plans.is_empty() => self.commit().await,
            180..183 => self.crash().await,
            183 => self.cancel().await,
            184..186 => self.wait_and_sweep().await,
            186..189 => self.pause().await,
            189..194 => self.resume().await,
            _ if self.calls.is_empty() && self.plans.is_empty() => self.wait_and_sweep().await,
            _ => {}
        }
    }

    /// An executor handles a call, more or less well, and a planner its outcome.
    async fn execute(&mut self) {
        let taken = self.chance.below(self.calls.len());
        let mut call = self.calls.swap_remove(taken);
        let job = &self.jobs[&call.job];
        if self.chance.one_in(6) {
            let until_ms = self.now_ms + self.chance.below(2 * LEASE as usize) as i64;
            call.requests += self.chance.below(3) as u32;
            self.plans.push(deferred(&call, until_ms, call.requests));
            self.calls.push(call);
            return;
        }
        let plan = match self.chance.below(4) {
            0 | 1 if job.stopped => end(&call, End::Cancelled),
            // Told of a pause, perhaps late.
            2 if job.paused || self.chance.one_in(20) => end(&call, End::Returned),
            _ => job.script.plan(&call),
        };
        put_pages_of(self.ledger, std::slice::from_ref(&plan)).await;
        if self.chance.one_in(8) {
            self.calls.push(call);
        }
        if self.chance.one_in(5) {
            self.plans.push(plan.clone());
        }
        if !self.chance.one_in(15) {
            self.plans.push(plan);
        }
    }

    /// A tracker commits some plans, in any order.
    async fn commit(&mut self) {
        let mut batch = Vec::new();
        for _ in 0..=self.chance.below(self.plans.len().min(8)) {
            let taken = self.chance.below(self.plans.len());
            let plan = self.plans.swap_remove(taken);
            if self.chance.one_in(10) {
                self.plans.push(plan.clone());
            }
            batch.push(plan);
        }
        let committed = self.ledger.commit(&batch, &self.windows, self.now_ms).await.expect("commits");
        self.check().await;
        let Committed { released, stopped, finished, .. } = committed;
        for job in stopped {
            self.job(job).stopped = true;
        }
        if !self.chance.one_in(10) {
            self.calls.extend(released);
        }
        for job in finished {
            self.job(job).finished += 1;
            self.finish(job).await;
        }
    }

    /// Everybody dies; what starts again finds an empty bus.
    async fn crash(&mut self) {
        self.calls.clear();
        self.plans.clear();
        let swept = self.ledger.sweep(true, &self.windows, self.now_ms).await.expect("sweeps");
        self.release_again(swept).await;
    }

    async fn wait_and_sweep(&mut self) {
        self.now_ms += LEASE;
        let swept = self.ledger.sweep(false, &self.windows, self.now_ms).await.expect("sweeps");
        self.release_again(swept).await;
    }

    async fn release_again(&mut self, swept: Swept) {
        self.check().await;
        self.calls.extend(swept.calls.into_iter().map(|(call, _)| call));
        let begin: Vec<Plan> = swept.unplanned.iter().map(|job| self.job(*job).script.begin()).collect();
        self.plans.extend(begin);
    }

    /// The owner of a running job stops it.
    async fn cancel(&mut self) {
        let Some(job) = self.jobs.values().find(|job| !job.done && !job.stopped).map(|job| job.script.job) else {
            return;
        };
        if self.state(job).await != JobState::Running {
            return;
        }
        self.ledger.cancel(job, "no longer wanted", self.now_ms).await.expect("cancels");
        self.check().await;
        self.job(job).stopped = true;
        if self.state(job).await.is_final() {
            self.job(job).finished_by_cancel = true;
            self.finish(job).await;
        }
    }

    async fn pause(&mut self) {
        let Some(id) = self.jobs.values().find(|job| !job.done && !job.paused).map(|job| job.script.job) else {
            return;
        };
        self.job(id).paused = self.ledger.pause(id, self.now_ms).await.expect("pauses");
        self.check().await;
    }

    async fn resume(&mut self) {
        let Some(id) = self.jobs.values().find(|job| job.paused).map(|job| job.script.job) else { return };
        self.ledger.resume(id).await.expect("resumes");
        self.job(id).paused = false;
        // As the gateway does.
        self.plans.push(Plan::nothing(id));
        self.check().await;
    }

    /// A job has finished: if it was stopped, its owner tries it again, and perhaps once more though it was not; else it is
    /// what it should be.
    async fn finish(&mut self, id: JobId) {
        let seed = self.seed;
        let job = self.job(id);
        assert_eq!(job.finished + usize::from(job.finished_by_cancel), 1, "seed {seed}: finished once");
        job.paused = false;
        let was_stopped = std::mem::take(&mut job.stopped);
        let try_again = was_stopped || !std::mem::replace(&mut job.tried_again, true);
        assert!(self.state(id).await.is_final(), "seed {seed}");
        let retried = if try_again { self.try_again(id).await } else { 0 };
        self.check().await;
        let row = self.ledger.job(id).await.expect("reads").expect("is there");
        let job = self.job(id);
        if retried > 0 {
            job.script.stops = false;
            (job.finished, job.finished_by_cancel) = (0, false);
            return;
        }
        job.done = true;
        assert_eq!(JobCounts { requests: 0, ..row.counts }, job.whole, "seed {seed}");
        let failed = job.whole.calls_failed > job.whole.calls_tolerated;
        if !was_stopped {
            assert_eq!(row.state == JobState::Failed, failed, "seed {seed}: {:?}", row.state);
        }
    }

    /// Everything that failed, or first those that failed like one of them.
    async fn try_again(&mut self, job: JobId) -> u64 {
        let failed =
            self.ledger.failures(job, 8).await.expect("reads").into_iter().find(|group| group.state == "failed");
        let some = failed.filter(|_| self.chance.one_in(2)).map(|group| RetryFilter {
            step: Some(group.step),
            class: Some(group.class),
            status: group.status,
            message: Some(group.message),
            fetch: None,
        });
        for which in some.into_iter().chain([RetryFilter::default()]) {
            let retried = self.ledger.retry_failed(job, &which, self.now_ms).await.expect("reopens");
            if retried > 0 {
                return retried;
            }
        }
        0
    }

    /// What must hold at all times.
    async fn check(&mut self) {
        let differences = self.ledger.audit().await.expect("counts");
        assert!(differences.is_empty(), "seed {}: {differences:#?}", self.seed);
        for job in self.jobs.keys() {
            let row = self.ledger.job(*job).await.expect("reads").expect("is there");
            let window = u64::from(self.windows.most(row.lane));
            assert!(row.counts.balances() && row.counts.calls_released <= window, "seed {}: {row:?}", self.seed);
        }
    }

    async fn state(&self, job: JobId) -> JobState {
        self.ledger.job(job).await.expect("reads").expect("is there").state
    }

    fn job(&mut self, job: JobId) -> &mut Job {
        self.jobs.get_mut(&job).expect("one of ours")
    }
}
