//! The executor over the bus.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tidegate_bus::Bus;
use tidegate_contracts::Lane;
use tidegate_contracts::topology::Queue;
use tidegate_daemon::{Clock, Handle, Shutdown};
use tidegate_ledger::{Ledger, UnmatchedAnswers};
use tidegate_specs::Specs;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::buckets::KnownBuckets;
use crate::credentials::Credentials;
use crate::gauges::Gauges;
use crate::handle_call::handle_call;
use crate::in_hand::InHand;
use crate::lanes::{self, Lanes};
use crate::metrics::Metrics;
use crate::pages::{Closed, Pages};
use crate::permits::{Permits, Reach};
use crate::push::Pushing;
use crate::refresh::Refreshes;
use crate::samples::Samples;
use crate::sleepers::Sleepers;
use crate::stopped::Stopped;
use crate::troubles::Troubles;
use crate::ways::WayOut;

/// Between two looks whether jobs whose calls are in hand have been stopped, for when the event was missed.
const CHECK_STOPS_EVERY: Duration = Duration::from_secs(1);

/// While the hand is full, a call that waits makes room for another job's so often: a job has some hundred calls in the queue, one after
/// the other, and the next job's first comes behind them.
const PUT_AWAY_EVERY: Duration = Duration::from_millis(10);
/// Between two looks whether there is another job.
const LOOK_FOR_OTHERS_EVERY: Duration = Duration::from_secs(1);

/// How the executor works.
#[derive(Debug, Clone)]
pub struct Config {
    /// Providers and lanes to take calls of.
    pub lanes: Lanes,
    /// Most requests on the wire at once.
    pub max_in_flight: u16,
    /// Most ways of making a call, each with one of its credentials out of one of the egresses, that an arbiter is asked about: of
    /// more, each call asks about some. Arbiters take 32 unless told otherwise.
    pub max_choices: usize,
    /// Of jobs that push their pages: a page with more bytes of items than this is pushed as a reference. At most 64 MiB are
    /// used, and brokers take less.
    pub push_max_bytes: u32,
}

impl Config {
    /// `max_choices` where nothing else is known.
    pub const MAX_CHOICES: usize = 32;

    /// Most calls in hand at once, of each lane: those on the wire, and as many again that wait for a short time.
    #[must_use]
    pub fn prefetch(&self) -> u16 {
        self.max_in_flight.saturating_mul(2)
    }
}

/// What the executor works with.
pub struct Deps {
    /// Calls come, outcomes go.
    pub bus: Arc<dyn Bus>,
    /// Where pages are stored.
    pub ledger: Arc<dyn Ledger>,
    /// Where samples of answers are kept that no error rule speaks of.
    pub unmatched: Arc<dyn UnmatchedAnswers>,
    /// Specifications by job.
    pub specs: Arc<Specs>,
    /// Who gives leave.
    pub permits: Arc<dyn Permits>,
    /// The ways out, at least one; each a value of the factor `egress` of limits.
    pub out: Vec<WayOut>,
    /// Credentials by name.
    pub credentials: Arc<dyn Credentials>,
    /// Now.
    pub clock: Clock,
}

/// What all calls share.
pub(crate) struct Shared {
    pub(crate) deps: Deps,
    pub(crate) max_choices: usize,
    /// Of the whole executor.
    pub(crate) shutdown: Shutdown,
    pub(crate) slots: Semaphore,
    pub(crate) pages: Pages,
    pub(crate) pushing: Pushing,
    pub(crate) samples: Samples,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) metrics: Metrics,
    pub(crate) stopped: Stopped,
    pub(crate) in_hand: InHand,
    /// Some job goes on.
    pub(crate) progress: Notify,
    /// Calls that sleep until somebody gives a permit back.
    pub(crate) sleepers: Sleepers,
    pub(crate) reach: Reach,
    pub(crate) refreshes: Refreshes,
    pub(crate) buckets: KnownBuckets,
    pub(crate) troubles: Troubles,
    /// What this process calls itself where it refreshes a credential.
    pub(crate) name: String,
}

/// Runs the executor until the shutdown is requested: it takes no more calls then, and ends when those in hand have.
pub fn start(deps: Deps, config: Config, gauges: Arc<Gauges>, shutdown: &Shutdown) -> Handle {
    let mut handle = Handle::new(shutdown.clone());
    let (pages, writing) = Pages::new(Arc::clone(&deps.ledger), Arc::clone(&deps.clock));
    Metrics::watch(&gauges);
    let shared = Arc::new(Shared {
        deps,
        max_choices: config.max_choices,
        shutdown: shutdown.clone(),
        slots: Semaphore::new(usize::from(config.max_in_flight.max(1))),
        pages,
        pushing: Pushing::new(config.push_max_bytes),
        samples: Samples::default(),
        gauges,
        metrics: Metrics::new(),
        stopped: Stopped::default(),
        in_hand: InHand::default(),
        progress: Notify::new(),
        sleepers: Sleepers::default(),
        reach: Reach::default(),
        refreshes: Refreshes::default(),
        buckets: KnownBuckets::default(),
        troubles: Troubles::default(),
        name: format!("{:032x}", rand::random::<u128>()),
    });
    handle.spawn("pages", async move { writing.await.context("can't store pages") });
    handle.spawn("samples", write_samples(Arc::clone(&shared), shutdown.clone()));
    handle.spawn("stops", listen(Arc::clone(&shared), shutdown.clone()));
    let lanes = match &config.lanes {
        Lanes::Fixed(lanes) => lanes.as_slice(),
        Lanes::Open => {
            handle.spawn("lanes", lanes::follow(Arc::clone(&shared), config.prefetch(), shutdown.clone()));
            &[]
        }
    };
    for (provider, lane) in lanes {
        let queue = Queue::Calls { provider: provider.clone(), lane: *lane };
        handle.spawn(
            format!("executor-{provider}-{lane}"),
            take_calls(Arc::clone(&shared), queue, config.prefetch(), shutdown.clone()),
        );
    }
    handle
}

async fn write_samples(shared: Arc<Shared>, shutdown: Shutdown) -> anyhow::Result<()> {
    let (store, clock) = (Arc::clone(&shared.deps.unmatched), Arc::clone(&shared.deps.clock));
    shared.samples.write_on(store, clock, shutdown).await;
    Ok(())
}

async fn listen(shared: Arc<Shared>, shutdown: Shutdown) -> anyhow::Result<()> {
    let events = shared.deps.bus.consume(&Queue::Events, 0).await.context("can't take events")?;
    tokio::select! {
        () = shutdown.requested() => Ok(()),
        () = shared.stopped.listen(events, (&shared.progress, &*shared.deps.credentials)) => Ok(()),
        checked = check_stops(&shared) => checked,
    }
}

async fn check_stops(shared: &Shared) -> anyhow::Result<()> {
    let mut checks = tokio::time::interval(CHECK_STOPS_EVERY);
    loop {
        checks.tick().await;
        let (deps, jobs) = (&shared.deps, shared.in_hand.jobs());
        let checked = shared.stopped.check((&*deps.ledger, &*deps.credentials), jobs).await;
        checked.context("can't ask which jobs are stopped")?;
    }
}

/// Takes calls from a queue until the shutdown is requested, then waits for those in hand.
pub(crate) async fn take_calls(
    shared: Arc<Shared>,
    queue: Queue,
    prefetch: u16,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let mut calls = shared.deps.bus.consume(&queue, prefetch).await.context("can't take calls")?;
    let mut in_hand = JoinSet::new();
    let mut full = tokio::time::interval(PUT_AWAY_EVERY);
    full.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut others = Others::default();
    loop {
        let is_full = in_hand.len() >= usize::from(prefetch);
        tokio::select! {
            biased;
            () = shutdown.requested() => break,
            // A call that dies is back in its queue by then; one that fails ends the executor.
            Some(ended) = in_hand.join_next() => match ended {
                Ok(Err(error)) if is_echo(&error) => {}
                Ok(ended) => ended?,
                Err(error) => tracing::error!(%error, "handling a call died"),
            },
            _ = full.tick(), if is_full => if let Queue::Calls { provider, lane } = &queue
                && others.are_there(&shared, (provider, *lane)).await?
            {
                shared.sleepers.put_away((provider, *lane), in_hand.len());
            },
            next = calls.next() => match next {
                Some(delivery) => {
                    in_hand.spawn(handle_call(Arc::clone(&shared), delivery));
                }
                None => break,
            },
        }
    }
    drop(calls);
    finish(&shared, in_hand).await
}

/// Whether a lane has more jobs than one, as it was seen last.
#[derive(Default)]
struct Others {
    are_there: bool,
    looked_at: Option<Instant>,
}

impl Others {
    async fn are_there(&mut self, shared: &Shared, (provider, lane): (&str, Lane)) -> anyhow::Result<bool> {
        if self.looked_at.is_none_or(|at| at.elapsed() >= LOOK_FOR_OTHERS_EVERY) {
            let lanes = shared.deps.ledger.lanes_open().await.context("can't look for other jobs")?;
            self.are_there = lanes.iter().any(|open| open.provider == provider && open.lane == lane && open.jobs > 1);
            self.looked_at = Some(Instant::now());
        }
        Ok(self.are_there)
    }
}

/// Lets what is on the wire end. Calls that only wait go back to their queue.
async fn finish(shared: &Shared, mut in_hand: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    if shared.shutdown.is_requested() {
        shared.slots.close();
    }
    while let Some(ended) = in_hand.join_next().await {
        match ended {
            Ok(Err(error)) if !is_echo(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A call that failed because something else has ended: the slots, at the end; the writer of pages, whose own task says
/// why, and would not be heard if this came before it.
fn is_echo(error: &anyhow::Error) -> bool {
    error.is::<tokio::sync::AcquireError>() || error.is::<Closed>()
}
