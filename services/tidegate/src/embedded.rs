//! The whole ring in one process, over one state file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use tidegate_arbiter::{Arbiter, MemoryStore};
use tidegate_bus::{Bus, InProcess, InProcessConfig};
use tidegate_daemon::{Clock, Handle, Shutdown, clock};
use tidegate_egress::{AllowPrivate, EgressConfig, Via};
use tidegate_executor::{CourierDeps, Credentials, Gauges, Lanes, Permits, PermitsError, WayOut};
use tidegate_ledger::{DeadLetters, Ledger, Notices, SqliteLedger, Sync, UnmatchedAnswers, Windows};
use tidegate_limits::{Decision, Question, Report, Sharing};
use tidegate_registry::{RegistryError, SqliteRegistry};
use tidegate_specs::Specs;
use tokio::sync::OnceCell;

use crate::limits_file::{keep_limits, kept_limits};

/// Longest time that calls on the wire are waited for at the end.
pub const DRAIN: Duration = Duration::from_secs(15);
/// Longest time that everything else takes to end.
const STOP: Duration = Duration::from_secs(10);
/// Longest time until everybody who still works on the state file has ended, at its end.
const CLOSE: Duration = Duration::from_secs(10);

/// The state file can't be used by this process.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Somebody else works on it.
    #[error("{0} is in use by another tidegate; wait for it, or use another --state")]
    Locked(PathBuf),
    /// It, or its folder, can't be made.
    #[error("can't make {path}: {source}; use --state FILE")]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A state file that this process alone works on.
pub struct State {
    /// What it holds.
    pub ledger: SqliteLedger,
    /// Where it is.
    pub path: PathBuf,
    registry: OnceCell<Arc<SqliteRegistry>>,
    _lock: File,
}

impl State {
    /// Opens the state file and keeps others out until it is dropped.
    ///
    /// # Errors
    /// [`StateError`], or what the ledger says.
    pub async fn open(path: &Path, sync: Sync) -> anyhow::Result<Self> {
        let make = |path: &Path, source| StateError::Make { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|source| make(folder, source))?;
        }
        let lock_path = path.with_extension("lock");
        let lock = File::create(&lock_path).map_err(|source| make(&lock_path, source))?;
        lock.try_lock().map_err(|_| StateError::Locked(path.to_owned()))?;
        let ledger = SqliteLedger::open(path, sync).await?;
        Ok(Self { ledger, path: path.to_owned(), registry: OnceCell::new(), _lock: lock })
    }

    /// The tenants, keys and credentials that it keeps.
    ///
    /// # Errors
    /// What the registry says, the first time.
    pub async fn registry(&self) -> Result<Arc<SqliteRegistry>, RegistryError> {
        let open = async || SqliteRegistry::open(&self.path).await.map(Arc::new);
        self.registry.get_or_try_init(open).await.cloned()
    }

    /// Works on it, and closes it, whatever came of the work: what is left is the one file, which can be copied.
    ///
    /// # Errors
    /// What the work says.
    pub async fn close_after<T>(self, work: impl AsyncFnOnce(&Self) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let done = work(&self).await;
        let close = async {
            if let Some(registry) = self.registry.get() {
                registry.close().await;
            }
            self.ledger.close().await;
        };
        if tokio::time::timeout(CLOSE, close).await.is_err() {
            tracing::warn!(path = %self.path.display(), "the state file is still worked on; its write-ahead log stays beside it");
        }
        done
    }
}

/// How the ring runs.
pub struct Settings {
    /// Whose calls are made, and in which lanes.
    pub lanes: Lanes,
    /// Most requests on the wire at once.
    pub max_in_flight: u16,
    /// A job that has so many calls open is moved to `bulk`: [`Windows::whale_calls`]. 0 where lanes are fixed.
    pub whale_calls: u64,
    /// Longest time to connect.
    pub connect: Duration,
    /// The ways out by name, at least one.
    pub out: Vec<(String, Via)>,
    /// Private networks that may be called.
    pub allow_private: AllowPrivate,
    /// Credentials by name.
    pub credentials: Arc<dyn Credentials>,
}

/// The parts that everything else is made of.
#[derive(Clone)]
pub struct Parts {
    /// In this process.
    pub bus: Arc<dyn Bus>,
    /// The state file's.
    pub ledger: Arc<dyn Ledger>,
    /// The same: what is told of finished jobs.
    pub notices: Arc<dyn Notices>,
    /// The same: messages that could not be handled.
    pub dead: Arc<dyn DeadLetters>,
    /// The same: samples of answers that no error rule speaks of.
    pub unmatched: Arc<dyn UnmatchedAnswers>,
    /// In this process.
    pub arbiter: Arc<Arbiter>,
    /// What the executor does right now.
    pub gauges: Arc<Gauges>,
    /// Now.
    pub clock: Clock,
}

impl Parts {
    /// The embedded parts over a state file; limits go on where they were left, and are shared like this.
    ///
    /// # Errors
    /// When the kept limits can't be read from the file.
    pub async fn new(state: &State, sharing: Sharing) -> anyhow::Result<Self> {
        let clock = clock::system();
        let ledger: Arc<dyn Ledger> = Arc::new(state.ledger.clone());
        let notices = Arc::new(state.ledger.clone());
        let dead = Arc::new(state.ledger.clone());
        let unmatched = Arc::new(state.ledger.clone());
        let store = MemoryStore::sharing(sharing);
        let arbiter = Arc::new(Arbiter::new(Arc::new(store), Arc::clone(&clock)));
        if let Some(snapshot) = kept_limits(&*ledger).await? {
            arbiter.restore(snapshot).await?;
        }
        let bus = Arc::new(InProcess::new(InProcessConfig::default(), Arc::clone(&clock)));
        Ok(Self { bus, ledger, notices, dead, unmatched, arbiter, gauges: Arc::new(Gauges::default()), clock })
    }
}

/// The running ring.
pub struct Ring {
    parts: Parts,
    executor: Handle,
    others: Handle,
    planner: Handle,
    tracker: Handle,
}

impl Ring {
    /// Starts all services and releases again what an earlier process left behind. `shutdown` is requested by signals,
    /// and by the failure of any service.
    ///
    /// # Errors
    /// When outgoing calls can't be set up, or the ledger refuses.
    pub async fn start(parts: &Parts, settings: Settings, shutdown: &Shutdown) -> anyhow::Result<Self> {
        let Parts { bus, ledger, notices, dead, unmatched, arbiter, gauges, clock } = parts.clone();
        let config = EgressConfig {
            allow_private: settings.allow_private,
            connect: settings.connect,
            max_idle_per_host: usize::from(settings.max_in_flight),
            ..EgressConfig::default()
        };
        let specs = Arc::new(Specs::new(Arc::clone(&ledger)));
        let out = WayOut::all(&settings.out, &config).context("can't set up outgoing calls")?;
        let first = out.first().context("expected at least one way out")?;
        let courier = CourierDeps {
            notices,
            ledger: Arc::clone(&ledger),
            specs: Arc::clone(&specs),
            egress: first.egress.clone(),
            credentials: Arc::clone(&settings.credentials),
            clock: Arc::clone(&clock),
        };
        let executor = tidegate_executor::Deps {
            bus: Arc::clone(&bus),
            ledger: Arc::clone(&ledger),
            unmatched,
            specs: Arc::clone(&specs),
            permits: Arc::new(InProcessPermits(Arc::clone(&arbiter))),
            out,
            credentials: settings.credentials,
            clock: Arc::clone(&clock),
        };
        let config = tidegate_executor::Config {
            lanes: settings.lanes,
            max_in_flight: settings.max_in_flight,
            max_choices: tidegate_executor::Config::MAX_CHOICES,
            push_max_bytes: 0,
        };
        let tracker = tidegate_tracker::Deps {
            bus: Arc::clone(&bus),
            ledger: Arc::clone(&ledger),
            dead,
            clock: Arc::clone(&clock),
        };
        // Half as many again as the executor holds, so that it never waits for a commit.
        let windows = Windows { whale_calls: settings.whale_calls, ..Windows::default() };
        let windows = windows.at_least(u32::from(config.prefetch()) * 3 / 2);
        let tracker_config = tidegate_tracker::Config { windows: windows.clone(), ..Default::default() };
        // The bus of an embedded process begins empty: whatever was out is lost.
        tidegate_tracker::sweep(&tracker, &windows, true).await?;
        let planner = tidegate_planner::Deps { bus, ledger: Arc::clone(&ledger), specs, clock: Arc::clone(&clock) };
        let mut others = Handle::new(shutdown.clone());
        others.spawn("courier", tidegate_executor::courier(courier, shutdown.clone()));
        others.spawn("look", tidegate_arbiter::look_on(Arc::clone(&arbiter), shutdown.clone()));
        others.spawn("limits", keep_limits(ledger, arbiter, clock, shutdown.clone()));
        Ok(Self {
            parts: parts.clone(),
            executor: tidegate_executor::start(executor, config, gauges, shutdown),
            others,
            planner: tidegate_planner::start(planner, shutdown),
            tracker: tidegate_tracker::start(tracker, tracker_config, shutdown),
        })
    }

    /// Ends all services, the executor first: calls on the wire end, and their pages are stored. What was not committed
    /// by then is found by the next start.
    ///
    /// # Errors
    /// The failure of the first service that ended badly.
    pub async fn stop(self, shutdown: &Shutdown) -> anyhow::Result<()> {
        shutdown.request();
        let executor = self.executor.join_within(DRAIN).await;
        let planner = self.planner.join_within(STOP).await;
        let tracker = self.tracker.join_within(STOP).await;
        let others = self.others.join_within(STOP).await;
        self.parts.bus.close().await;
        executor.and(planner).and(tracker).and(others)?;
        Ok(())
    }
}

/// The arbiter of this process.
struct InProcessPermits(Arc<Arbiter>);

#[async_trait]
impl Permits for InProcessPermits {
    async fn ask(&self, question: Question) -> Result<Decision, PermitsError> {
        let decisions = self.0.ask(vec![question]).await.map_err(|error| PermitsError(error.to_string()))?;
        decisions.into_iter().next().ok_or_else(|| PermitsError("it gave no answer".to_owned()))
    }

    async fn report(&self, report: Report) -> Result<(), PermitsError> {
        self.0.report(vec![report]).await.map_err(|error| PermitsError(error.to_string()))
    }
}
