//! `tidegate run`: a job from submit to done, in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Context;
use tidegate_contracts::{JobId, Lane};
use tidegate_daemon::{Cause, Shutdown};
use tidegate_egress::AllowPrivate;
use tidegate_executor::Lanes;
use tidegate_gateway::{Intake, Submission, economy, submit};
use tidegate_ledger::{DEFAULT_TENANT, JobRow, JobState, RetryFilter, Sync};
use tidegate_limits::Sharing;
use tidegate_provider::{Credential, Spec};
use tidegate_specs::Specs;
use tokio::sync::Notify;

use super::ui;
use crate::cli::{Run, SyncMode};
use crate::exit::Exit;
use crate::kept_credentials::kept_credentials;
use crate::live::{Live, Now};
use crate::output::{OutputError, Writer, Written, plain_files, told};
use crate::report::{FAILURES_SHOWN, Report, RunFigures};
use crate::{appended, files, say};
use tidegate::embedded::{Parts, Ring, Settings, State};

const MAX_IN_FLIGHT: u16 = 32;
/// Between two looks at the job.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the end of a job waits for its webhook to be taken.
const TELL_WITHIN: Duration = Duration::from_secs(5);
/// Pages read for the output at once.
const PAGES_READ: u32 = 64;

/// What the files and the command line say, before anything is opened.
struct Asked {
    spec: Arc<Spec>,
    credentials: Vec<Credential>,
    allow_private: AllowPrivate,
    lane: Lane,
    submission: Submission,
}

pub(crate) async fn run(args: Run) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let asked = read(&args)?;
    let sync = match args.sync {
        SyncMode::Full => Sync::Full,
        SyncMode::Normal => Sync::Normal,
    };
    let state = State::open(&args.state.clone().unwrap_or_else(|| files::default_state(&args.job)), sync).await?;
    state.close_after(async |state| Box::pin(run_over(state, asked, &args, started)).await).await
}

fn read(args: &Run) -> anyhow::Result<Asked> {
    let loaded = files::load_job(&args.job, &args.calls)?;
    let spec = Arc::new(loaded.compile()?);
    loaded.check_alone()?;
    let (job, provider) = (loaded.job.file, loaded.provider.file);
    let of_notify = job.notify.as_ref().and_then(|notify| notify.secret.as_ref());
    let named = spec.credentials().iter().chain(of_notify);
    let credentials = named.map(|name| files::credential(name.as_str(), &args.calls)).collect::<Result<Vec<_>, _>>()?;
    let allow_private = files::allow_private(&args.calls.allow_private)?;
    files::check_steps(&args.output.steps, &spec)?;
    let lane = job.lane;
    let submission = Submission {
        tenant: DEFAULT_TENANT.to_owned(),
        name: files::job_name(&job, &args.job),
        job,
        provider,
        idempotency: None,
        extend: args.extend,
    };
    Ok(Asked { spec, credentials, allow_private, lane, submission })
}

async fn run_over(state: &State, asked: Asked, args: &Run, started: Instant) -> anyhow::Result<Exit> {
    let Asked { spec, credentials, allow_private, lane, submission } = asked;
    let parts = Parts::new(state, Sharing::default()).await?;
    // After the state is ours: another process that runs the same job may be writing to the same output.
    let outlets = Outlets::open(&parts, args, &spec).await?;
    let shutdown = Shutdown::on_signals()?;
    let known = if args.fresh { None } else { resume(&parts, &spec, args).await? };
    let settings = Settings {
        lanes: Lanes::Fixed(vec![(submission.provider.provider.to_string(), lane)]),
        max_in_flight: args.max_in_flight.unwrap_or_else(|| max_in_flight(&spec)),
        whale_calls: 0,
        connect: spec.steps().iter().map(|step| spec.deadlines(step).connect).max().unwrap_or(Duration::from_secs(5)),
        out: files::ways_out(&args.egress)?,
        allow_private,
        credentials: kept_credentials(&spec, credentials, state, &parts.clock).await?,
    };
    let ring = Ring::start(&parts, settings, &shutdown).await?;
    let page = match args.ui {
        Some(port) => Some(ui::start(&parts, state, port, &shutdown).await?),
        None => None,
    };
    let (job, items_before) = match known {
        Some(job) => (job.id, job.counts.items),
        None => (submit_new(&parts, submission).await?, 0),
    };
    let followed = follow(&parts, job, outlets, Live::new(args.quiet, items_before), &shutdown).await;
    if !shutdown.is_requested() {
        tell(&parts, job).await?;
    }
    if page.is_some() && followed.is_ok() && !shutdown.is_requested() {
        ui::stay(&shutdown).await;
    }
    let stopped = ring.stop(&shutdown).await;
    if let Some(page) = page {
        page.join_within(ui::DRAIN).await?;
    }
    let written = match followed {
        // A reader that went away (`| head`) has what it wanted.
        Err(error) if error.downcast_ref::<OutputError>().is_some_and(OutputError::is_broken_pipe) => {
            return Ok(Exit::Output);
        }
        followed => followed?,
    };
    let mut report = report(&parts, state, job, started, written, args).await?;
    report.economy = economy(&spec, &report.steps);
    print(&report, args);
    if let Some(Cause::TaskFailed { .. }) = shutdown.cause() {
        stopped?;
    }
    Ok(exit(&report.job, &shutdown))
}

/// The job in the state file that the same files made before. If it failed, its failed calls are planned again.
async fn resume(parts: &Parts, spec: &Spec, args: &Run) -> anyhow::Result<Option<JobRow>> {
    let known = parts.ledger.job_like(spec.fingerprint()).await?;
    // One whose pages were pruned has nothing to go on with.
    let Some(job) = known.filter(|job| job.pruned_at_ms.is_none()) else { return Ok(None) };
    // What it could not fetch keeps its mark, and is new to the next one.
    if args.extend && job.state.is_final() {
        return Ok(None);
    }
    let id = job.id;
    if job.state != JobState::Succeeded {
        // What can't be read now can't be worked on either: nobody would ever end the job.
        let stored = Specs::new(Arc::clone(&parts.ledger)).get(id).await;
        stored.context("the state file holds this job, and it can't be gone on with; --fresh pulls it again")?;
    }
    let text = match job.state {
        JobState::Succeeded => format!("{id} is done already, and nothing is asked for; --fresh pulls it again"),
        JobState::Failed | JobState::Cancelled => {
            let calls = parts.ledger.retry_failed(id, &RetryFilter::default(), (parts.clock)()).await?;
            format!("going on with {id}: {calls} calls that failed or were given up are made again")
        }
        JobState::Submitted | JobState::Running => {
            // Whoever runs it wants it to run.
            parts.ledger.resume(id).await?;
            let ended = job.counts.calls_planned - job.counts.calls_open;
            format!("going on with {id}: {ended} of {} calls are done", job.counts.calls_planned)
        }
    };
    if !args.quiet {
        say::note(&text);
    }
    Ok(Some(job))
}

async fn submit_new(parts: &Parts, submission: Submission) -> anyhow::Result<JobId> {
    let (bus, ledger, clock) = (Arc::clone(&parts.bus), Arc::clone(&parts.ledger), Arc::clone(&parts.clock));
    Ok(submit(&Intake { bus, ledger, clock }, submission).await?.job())
}

pub(crate) fn max_in_flight(spec: &Spec) -> u16 {
    spec.job().max_in_flight.and_then(|calls| u16::try_from(calls).ok()).unwrap_or(MAX_IN_FLIGHT)
}

/// Gives the courier time to tell of the job's end. What it could not by then is told when the state file is next used.
async fn tell(parts: &Parts, job: JobId) -> anyhow::Result<()> {
    let until = Instant::now() + TELL_WITHIN;
    while Instant::now() < until {
        let notices = parts.notices.notices(job).await?;
        if notices.iter().all(|notice| notice.next_at_ms.is_none()) {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Writes pages as they come and shows progress, until the job is done or the shutdown is requested.
async fn follow(
    parts: &Parts,
    job: JobId,
    outlets: Option<Outlets>,
    mut live: Live,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<Written>> {
    let exporter = outlets.map(|outlets| Exporter { parts: parts.clone(), job, outlets, seq: 0 });
    let ended = Arc::new(Notify::new());
    let exporting = exporter.map(|exporter| tokio::spawn(exporter.follow(shutdown.clone(), Arc::clone(&ended))));
    let mut events = parts.bus.consume(&tidegate_contracts::topology::Queue::Events, 0).await?;
    loop {
        let row = parts.ledger.job(job).await?.context("the job is not in the ledger")?;
        if row.state.is_final() || shutdown.is_requested() {
            break;
        }
        show(parts, &row, &mut live).await?;
        wait_for_news(&mut *events, job, shutdown).await;
    }
    ended.notify_one();
    live.clear();
    match exporting {
        Some(exporting) => Ok(Some(exporting.await??)),
        None => Ok(None),
    }
}

/// Until the job is done, or it is time for another look.
async fn wait_for_news(events: &mut dyn tidegate_bus::Consumer, job: JobId, shutdown: &Shutdown) {
    let finished = async {
        while let Some(delivery) = events.next().await {
            use tidegate_contracts::{Event, Message};
            if matches!(&delivery.envelope.message, Message::Event(Event::JobFinished { job: done }) if *done == job) {
                return;
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        () = finished => {}
        () = shutdown.requested() => {}
        () = tokio::time::sleep(LOOK_EVERY) => {}
    }
}

async fn show(parts: &Parts, row: &JobRow, live: &mut Live) -> anyhow::Result<()> {
    if !live.is_shown() {
        return Ok(());
    }
    let now_ms = (parts.clock)();
    let look = live.looker.look(&*parts.ledger, row, now_ms).await?;
    live.show(&Now { job: row, look: &look, gauges: &parts.gauges, now_ms });
    Ok(())
}

/// Where items go, and what is there already.
struct Outlets {
    writer: Writer,
    fingerprint: String,
    /// Plain files.
    files: Vec<PathBuf>,
    /// Of each, if they are appended to: the first run whose items are not in it, by its place; `None`: the newest.
    first: Option<Vec<Option<usize>>>,
}

impl Outlets {
    async fn open(parts: &Parts, args: &Run, spec: &Arc<Spec>) -> anyhow::Result<Option<Self>> {
        let (files, fingerprint) = (plain_files(&args.output, spec), spec.fingerprint().to_owned());
        let first = if args.extend {
            let runs = parts.ledger.runs(&fingerprint).await?;
            Some(appended::first_runs(&*parts.ledger, &files, &runs, (parts.clock)()).await?)
        } else {
            None
        };
        let Some(mut writer) = Writer::open(&args.output, Arc::clone(spec))? else { return Ok(None) };
        if args.extend {
            writer.append()?;
        }
        Ok(Some(Self { writer, fingerprint, files, first }))
    }

    /// The pages that come are of the run at this place.
    fn next_run(&mut self, place: usize, is_newest: bool) {
        let Self { writer, files, first, .. } = self;
        let has = |path: &Path| {
            let first = files.iter().position(|file| file == path).zip(first.as_ref()).map(|(file, first)| first[file]);
            match first {
                // It is written anew.
                None => false,
                Some(None) => !is_newest,
                Some(Some(first)) => place < first,
            }
        };
        writer.next_run(has, first.is_some() && !is_newest);
    }
}

/// Writes pages as they are stored.
struct Exporter {
    parts: Parts,
    job: JobId,
    outlets: Outlets,
    seq: i64,
}

impl Exporter {
    /// The job's items, after those of the runs that it goes on from.
    async fn follow(mut self, shutdown: Shutdown, ended: Arc<Notify>) -> anyhow::Result<Written> {
        let newest = self.job;
        let runs = self.parts.ledger.runs(&self.outlets.fingerprint).await?;
        let before: Vec<JobId> = runs.iter().map(|run| run.id).take_while(|run| *run != newest).collect();
        for (place, run) in before.iter().enumerate() {
            self.outlets.next_run(place, false);
            (self.job, self.seq) = (*run, 0);
            self.write_new().await?;
        }
        self.outlets.next_run(before.len(), true);
        (self.job, self.seq) = (newest, 0);
        self.follow_newest(shutdown, ended).await
    }

    async fn follow_newest(mut self, shutdown: Shutdown, ended: Arc<Notify>) -> anyhow::Result<Written> {
        loop {
            // Looked at before the pages: what was stored by then is read below.
            let job = self.parts.ledger.job(self.job).await?.context("the job is not in the ledger")?;
            let interrupted = shutdown.is_requested();
            if let Err(error) = self.write_new().await {
                shutdown.request();
                return Err(error);
            }
            if job.state.is_final() {
                return self.finish().await;
            }
            if interrupted {
                return Ok(Written::default());
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = ended.notified() => {}
                () = shutdown.requested() => {}
            }
        }
    }

    async fn finish(self) -> anyhow::Result<Written> {
        let Self { parts, job, outlets: Outlets { writer, files, .. }, .. } = self;
        appended::begin(&*parts.ledger, &files, job, (parts.clock)()).await?;
        let written = writer.finish()?;
        appended::end(&*parts.ledger, &files, job, (parts.clock)()).await?;
        Ok(written)
    }

    async fn write_new(&mut self) -> anyhow::Result<()> {
        loop {
            let pages = self.parts.ledger.pages_after(self.job, self.seq, PAGES_READ).await?;
            let Some(last) = pages.last() else { break };
            self.seq = last.seq;
            let full = pages.len() == PAGES_READ as usize;
            tokio::task::block_in_place(|| pages.iter().try_for_each(|page| self.outlets.writer.page(page)))?;
            if !full {
                break;
            }
        }
        Ok(self.outlets.writer.flush()?)
    }
}

async fn report(
    parts: &Parts,
    state: &State,
    job: JobId,
    started: Instant,
    written: Option<Written>,
    args: &Run,
) -> anyhow::Result<Report> {
    let row = parts.ledger.job(job).await?.context("the job is not in the ledger")?;
    let done = row.state.is_final();
    let gauges = &parts.gauges;
    Ok(Report {
        progress: None,
        steps: parts.ledger.steps(job).await?,
        economy: Vec::new(),
        failures: parts.ledger.failures(job, FAILURES_SHOWN).await?,
        notifications: parts.notices.notices(job).await?,
        run: RunFigures {
            seconds: started.elapsed().as_secs_f64(),
            requests: gauges.requests.load(Relaxed),
            refused: gauges.refused.load(Relaxed),
            wire_bytes: gauges.wire_bytes.load(Relaxed),
            written: written.as_ref().filter(|_| done).map(|written| written.items),
            duplicates: written.as_ref().map_or(0, |written| written.duplicates),
            left_out: written.iter().flat_map(|written| written.left_out.iter()).map(owned).collect(),
            note: written.as_ref().and_then(|written| told(&written.left_out)),
            output: args.output.output.as_ref().map(|path| path.display().to_string()),
            state: state.path.display().to_string(),
        },
        job: row,
    })
}

fn owned((name, items): (&str, u64)) -> (String, u64) {
    (name.to_owned(), items)
}

fn print(report: &Report, args: &Run) {
    let to_stdout = args.output.output.as_ref().is_none_or(|path| path.as_os_str() != "-");
    if args.json {
        match serde_json::to_string(report) {
            Ok(json) if to_stdout => say::answer(&json),
            Ok(json) => say::note(&json),
            Err(error) => say::error(&format!("the report is no JSON: {error}")),
        }
    } else if !args.quiet || report.job.state == JobState::Failed {
        say::note(&report.text());
    }
}

fn exit(job: &JobRow, shutdown: &Shutdown) -> Exit {
    match (job.state, shutdown.cause()) {
        (JobState::Succeeded, _) => Exit::Done,
        (JobState::Failed | JobState::Cancelled, _) => Exit::JobFailed,
        (_, Some(Cause::Signal("SIGTERM"))) => Exit::Terminated,
        (_, Some(Cause::Signal(_))) => Exit::Interrupted,
        _ => Exit::Internal,
    }
}
