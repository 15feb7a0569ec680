//! How planner and ledger bear a large job, and many jobs at once: answers are made up, and nobody is called.
//!
//! `cargo run --release -p tidegate-planner --example scale -- one|many [STATE-FILE | postgres://USER@HOST/DATABASE] [CALLS] [JOBS | UNTIL]`
//!
//! `one`: one job of about `CALLS` (1,000,000) calls, a list of users and four pages of posts for each of them; with `UNTIL`, it is
//! left unfinished when so many of them are made, to be looked at while it is open (`bench/page`). `many`:
//! `JOBS` (1,000) jobs of `CALLS` (600) pages each, submitted one after another before any of them is worked on; by
//! `CALLS` of a million each is the same again.
//!
//! It goes as in the services, one after another instead of at once: executors take 256 calls from one queue, first come
//! first served, store 64 pages in a transaction, the planner plans each outcome, and the tracker commits up to 256 plans in
//! a transaction, by windows that it shares out anew each second and when jobs begin. Meanwhile somebody asks for the status of a job, all the
//! time. The database has to be there for it and empty, and what is left in it may be looked at afterwards, or dropped.
#![expect(clippy::print_stdout, reason = "it is there to print")]

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use tidegate_contracts::{Call, CallId, Fingerprint, JobId, Lane, Next, Outcome, PageFacts, PagePointer, Plan};
use tidegate_ledger::{
    Bounds, DEFAULT_TENANT, JobFilter, Ledger, NewJob, NewPage, Packed, PostgresConfig, PostgresLedger, SqliteLedger,
    Sync, Windows,
};
use tidegate_planner::{begin, needs_items, plan};
use tidegate_provider::{Spec, parse_job, parse_provider};
use tidegate_specs::StoredSpec;

type Error = Box<dyn std::error::Error + Send + std::marker::Sync>;

const PROVIDER: &str = r#"
tidegate: 1
provider: x
base_url: https://x.example
endpoints:
  users: { get: /users, items: "$.items[*]", key: "$.id", pages: { offset: offset, size: { param: limit, max: 100 }, total: "$.total" } }
  posts: { get: "/users/{id}/posts", items: "$.items[*]", key: "$.id", pages: { cursor: cursor, next: "$.next" } }
"#;
const USERS: &str = "{ id: users, call: users }";
const POSTS: &str = "{ id: posts, call: posts, for_each: users, with: { id: \"{{ item.id }}\" } }";
/// Users on a page, and pages of posts of each.
const PAGE: u64 = 100;
const CHAIN: u64 = 4;
/// Calls taken, pages stored and plans committed at once.
const TAKEN: usize = 256;
const STORED: usize = 64;
/// Between two commits' looks at how many jobs there are.
const SHARED_EVERY: Duration = Duration::from_secs(1);
/// Between two questions for the status.
const ASK_EVERY: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let many = match arguments.next().as_deref() {
        Some("one") => false,
        Some("many") => true,
        _ => return Err("expected one or many".into()),
    };
    let store = arguments.next().ok_or("expected a file, or the address of a database")?;
    let calls = arguments.next().map_or(Ok(if many { 600 } else { 1_000_000 }), |calls| calls.parse())?;
    let last = arguments.next().map(|number| number.parse()).transpose()?;
    let (jobs, until) = if many { (last.unwrap_or(1_000), None) } else { (1, last) };
    let users = if many { calls * PAGE } else { calls * PAGE / (1 + CHAIN * PAGE) };
    let (spec, stored) = spec(!many)?;
    let of = Workload { spec, stored, users, jobs, until };
    if store.starts_with("postgres") {
        let config = PostgresConfig::new(store.as_str());
        PostgresLedger::migrate(&config).await?;
        let ledger = PostgresLedger::connect(&config).await?;
        let done = run(Arc::new(ledger.clone()), &of).await?;
        print_tables(&store, done).await?;
        ledger.close().await;
    } else {
        let file = PathBuf::from(store);
        let ledger = SqliteLedger::open(&file, Sync::Full).await?;
        let done = run(Arc::new(ledger.clone()), &of).await?;
        ledger.close().await;
        let bytes = std::fs::metadata(&file)?.len();
        println!("{} MiB on the disk, {} bytes for each call", bytes >> 20, bytes / done);
    }
    Ok(())
}

/// What is done.
struct Workload {
    spec: Spec,
    /// As gateways read it.
    stored: String,
    users: u64,
    jobs: usize,
    /// Calls after which it is left as it is; all of them unless given.
    until: Option<usize>,
}

fn spec(with_posts: bool) -> Result<(Spec, String), Error> {
    let steps = if with_posts { [USERS, POSTS].as_slice() } else { &[USERS] };
    let text = format!("provider: x\nsteps: [{}]\n", steps.join(", "));
    let job = parse_job(&text, "job.yaml").map_err(|problems| format!("{problems:?}"))?.file;
    let provider = parse_provider(PROVIDER, "x.yaml").map_err(|problems| format!("{problems:?}"))?.file;
    let stored = serde_json::to_string(&StoredSpec { job: job.clone(), provider: provider.clone() })?;
    let spec = Spec::compile(job, provider).map_err(|problems| format!("{problems:?}"))?;
    Ok((spec, stored))
}

/// Does it all, prints figures on the way, and returns how many calls that were.
async fn run(ledger: Arc<dyn Ledger>, of: &Workload) -> Result<u64, Error> {
    let jobs = submit(&*ledger, of).await?;
    let status = Arc::new(Status { ledger: Arc::clone(&ledger), jobs: jobs.clone(), done: AtomicBool::new(false) });
    let asking = tokio::spawn(Arc::clone(&status).ask());
    let mut work = Work::new(of);
    let marks = Marks::new();
    let result = work.all(&*ledger, jobs, marks).await;
    status.done.store(true, Relaxed);
    let asked = asking.await??;
    result?;
    print_status(&asked, &work.times);
    Ok(work.calls)
}

async fn submit(ledger: &dyn Ledger, of: &Workload) -> Result<Vec<JobId>, Error> {
    let mut jobs = Vec::with_capacity(of.jobs);
    for number in 0..of.jobs {
        let job = NewJob {
            id: JobId::new(),
            tenant: DEFAULT_TENANT.into(),
            name: format!("job {number}"),
            fingerprint: format!("{number:032x}"),
            spec: of.stored.clone(),
            provider: "x".into(),
            lane: Lane::Normal,
            idempotency: None,
            bounds: Bounds::default(),
            extend: false,
        };
        ledger.submit(&job, now_ms()).await?;
        jobs.push(job.id);
    }
    Ok(jobs)
}

/// The work, and where it stands.
struct Work<'a> {
    of: &'a Workload,
    queue: VecDeque<Call>,
    windows: Windows,
    shared_at: Option<Instant>,
    calls: u64,
    commits: u64,
    /// Calls of each job, in the end and when half of all were made.
    begun: HashMap<JobId, u64>,
    longest_queue: usize,
    /// When how many calls were made.
    times: Vec<(Instant, u64)>,
}

impl<'a> Work<'a> {
    fn new(of: &'a Workload) -> Self {
        let (queue, windows, begun, times) = (VecDeque::new(), Windows::default(), HashMap::new(), Vec::new());
        let (shared_at, calls, commits, longest_queue) = (None, 0, 0, 0);
        Self { of, queue, windows, shared_at, calls, commits, begun, longest_queue, times }
    }

    async fn all(&mut self, ledger: &dyn Ledger, jobs: Vec<JobId>, mut marks: Marks) -> Result<(), Error> {
        let total = self.total();
        for jobs in jobs.chunks(TAKEN) {
            let plans: Vec<Plan> = jobs.iter().map(|job| begin(&self.of.spec, *job)).collect();
            self.commit(ledger, &plans).await?;
        }
        let mut half = self.of.jobs > 1;
        let until = self.of.until.map_or(u64::MAX, |calls| calls as u64);
        while !self.queue.is_empty() && self.calls < until {
            let taken: Vec<Call> = self.queue.drain(..self.queue.len().min(TAKEN)).collect();
            for call in &taken {
                self.calls += 1;
                self.begun.entry(call.job).or_insert(self.calls);
            }
            let plans = self.make(ledger, taken).await?;
            self.commit(ledger, &plans).await?;
            self.times.push((Instant::now(), self.calls));
            if half && self.calls >= total / 2 {
                half = false;
                self.print_shares(ledger).await?;
            }
            marks.pass(self);
        }
        marks.end(self);
        if !self.queue.is_empty() {
            return Ok(());
        }
        for job in ledger.jobs(&JobFilter::newest(u32::try_from(self.of.jobs)?)).await? {
            assert!(job.state.is_final() && job.counts.balances() && job.counts.calls_open == 0, "{job:?}");
        }
        Ok(())
    }

    /// Calls in all.
    fn total(&self) -> u64 {
        let pages = self.of.users.div_ceil(PAGE);
        let of_posts = if self.of.spec.steps().len() > 1 { self.of.users * CHAIN } else { 0 };
        (pages + of_posts) * self.of.jobs as u64
    }

    /// Executor and planner: stores the pages, and plans what follows.
    async fn make(&self, ledger: &dyn Ledger, calls: Vec<Call>) -> Result<Vec<Plan>, Error> {
        let answers: Vec<(NewPage, Outcome)> =
            calls.into_iter().map(|call| answer(self.of, call)).collect::<Result<_, Error>>()?;
        let (pages, outcomes): (Vec<NewPage>, Vec<Outcome>) = answers.into_iter().unzip();
        for pages in pages.chunks(STORED) {
            ledger.put_pages(pages, now_ms()).await?;
        }
        let mut plans = Vec::with_capacity(outcomes.len());
        for outcome in &outcomes {
            let call = outcome.call();
            let lines = if needs_items(&self.of.spec, outcome) {
                ledger.page_lines(call.job, call.call).await?.ok_or("a page is gone")?.unpack()?
            } else {
                Vec::new()
            };
            plans.push(plan(&self.of.spec, outcome, &lines));
        }
        Ok(plans)
    }

    async fn commit(&mut self, ledger: &dyn Ledger, plans: &[Plan]) -> Result<(), Error> {
        let begins = plans.iter().any(|plan| plan.ended.is_none());
        if begins || self.shared_at.is_none_or(|at| at.elapsed() > SHARED_EVERY) {
            self.windows = Windows::default().shared_by(ledger.lanes_open().await?);
            self.shared_at = Some(Instant::now());
        }
        let committed = ledger.commit(plans, &self.windows, now_ms()).await?;
        self.commits += 1;
        self.queue.extend(committed.released);
        self.longest_queue = self.longest_queue.max(self.queue.len());
        if let Some(receipt) = committed.receipt {
            ledger.published(receipt).await?;
        }
        Ok(())
    }

    /// How far the jobs are.
    async fn print_shares(&self, ledger: &dyn Ledger) -> Result<(), Error> {
        let rows = ledger.jobs(&JobFilter::newest(u32::try_from(self.of.jobs)?)).await?;
        let mut ended: Vec<u64> = rows.iter().map(|row| row.counts.calls_succeeded).collect();
        ended.sort_unstable();
        let at = |part: usize| ended[(ended.len() - 1) * part / 100];
        println!(
            "half of all calls are made: of each job {} at least, {} (5 %), {} (median), {} (95 %), {} at most",
            at(0),
            at(5),
            at(50),
            at(95),
            at(100)
        );
        let last = self.begun.values().max().copied().unwrap_or(0);
        println!("{} of {} jobs have begun, the last of them with call {last}", self.begun.len(), self.of.jobs);
        Ok(())
    }
}

/// What the third party answers: a function of the call.
fn answer(of: &Workload, call: Call) -> Result<(NewPage, Outcome), Error> {
    let (ids, total, next) = match &call.pointer.place() {
        PagePointer::Offset { offset, size } => {
            (*offset..(offset + u64::from(*size)).min(of.users), Some(of.users), None)
        }
        PagePointer::First if call.step == "users" => (0..of.users.min(PAGE), Some(of.users), None),
        pointer => {
            let page: u64 = if let PagePointer::Cursor { cursor } = pointer { cursor.parse()? } else { 0 };
            (page * 10..page * 10 + 10, None, (page + 1 < CHAIN).then(|| Next::Cursor((page + 1).to_string())))
        }
    };
    let items = u32::try_from(ids.end.saturating_sub(ids.start))?;
    let lines: String = ids.map(|id| format!("{{\"id\":{id},\"text\":\"{}\"}}\n", call.call)).collect();
    let facts = PageFacts { items, total, next, fingerprint: fingerprint(call.call), ..PageFacts::default() };
    let lines = Packed::pack(lines.as_bytes())?;
    let page = NewPage {
        call: call.call,
        fetch: call.fetch,
        job: call.job,
        step: call.step.clone(),
        facts: facts.clone(),
        lines,
        top: None,
    };
    Ok((page, Outcome::Page { call, facts }))
}

/// No page is like another.
fn fingerprint(call: CallId) -> Fingerprint {
    let (bytes, _) = call.as_bytes().split_first_chunk().unwrap_or((&[0; 8], &[]));
    Fingerprint(i64::from_be_bytes(*bytes))
}

fn now_ms() -> i64 {
    tidegate_daemon::clock::now_ms()
}

/// Figures by the number of calls: 10,000, 100,000, each million, and the end.
struct Marks {
    next: u64,
    since: Instant,
    calls: u64,
    commits: u64,
}

impl Marks {
    fn new() -> Self {
        println!("{:>10} {:>9} {:>10} {:>10} {:>12}", "calls", "calls/s", "commits/s", "queue max", "memory MiB");
        Self { next: 10_000, since: Instant::now(), calls: 0, commits: 0 }
    }

    fn pass(&mut self, work: &Work<'_>) {
        if work.calls >= self.next {
            self.next = if self.next < 1_000_000 { self.next * 10 } else { self.next + 1_000_000 };
            self.end(work);
        }
    }

    fn end(&mut self, work: &Work<'_>) {
        let seconds = self.since.elapsed().as_secs_f64();
        let per_s = |now: u64, before: u64| (now - before) as f64 / seconds;
        println!(
            "{:>10} {:>9.0} {:>10.1} {:>10} {:>12}",
            work.calls,
            per_s(work.calls, self.calls),
            per_s(work.commits, self.commits),
            work.longest_queue,
            memory_mib()
        );
        (self.since, self.calls, self.commits) = (Instant::now(), work.calls, work.commits);
    }
}

/// Resident: `VmRSS` of proc_pid_status(5).
fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) >> 10
}

/// Somebody who asks for the status of jobs.
struct Status {
    ledger: Arc<dyn Ledger>,
    jobs: Vec<JobId>,
    done: AtomicBool,
}

impl Status {
    /// Asks what `GET /v1/jobs/{id}` asks, and returns when and how long it took.
    async fn ask(self: Arc<Self>) -> Result<Vec<(Instant, Duration)>, Error> {
        let (mut asked, mut jobs) = (Vec::new(), self.jobs.iter().cycle());
        while !self.done.load(Relaxed) {
            let job = *jobs.next().ok_or("there is no job")?;
            let started = Instant::now();
            self.ledger.job(job).await?;
            self.ledger.steps(job).await?;
            self.ledger.waiting(job, now_ms()).await?;
            self.ledger.pace(job, 100).await?;
            self.ledger.failures(job, 10).await?;
            asked.push((started, started.elapsed()));
            tokio::time::sleep(ASK_EVERY).await;
        }
        Ok(asked)
    }
}

fn print_status(asked: &[(Instant, Duration)], times: &[(Instant, u64)]) {
    let calls =
        |at: Instant| times[..times.partition_point(|(time, _)| *time <= at)].last().map_or(0, |(_, calls)| *calls);
    for (from, until) in [(0, 10_000), (10_000, 100_000), (100_000, u64::MAX)] {
        let mut took: Vec<Duration> =
            asked.iter().filter(|(at, _)| (from..until).contains(&calls(*at))).map(|(_, took)| *took).collect();
        took.sort_unstable();
        let Some(last) = took.len().checked_sub(1) else { continue };
        let ms = |part: usize| took[last * part / 100].as_secs_f64() * 1e3;
        let (p50, p99, most, count) = (ms(50), ms(99), ms(100), took.len());
        println!(
            "status above {from} calls: p50 {p50:.2} ms, p99 {p99:.2} ms, at most {most:.2} ms, asked {count} times"
        );
    }
}

async fn print_tables(url: &str, calls: u64) -> Result<(), Error> {
    let mut connection = sqlx::PgConnection::connect(url).await?;
    let sql = "SELECT relname::text, pg_total_relation_size(oid), pg_indexes_size(oid) FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 2 DESC LIMIT 6";
    let tables: Vec<(String, i64, i64)> = sqlx::query_as(sql).fetch_all(&mut connection).await?;
    for (table, bytes, of_indexes) in tables {
        let each = |bytes: i64| bytes / i64::try_from(calls).unwrap_or(i64::MAX);
        println!(
            "{table:12} {:>6} MiB, {:>5} bytes for each call, {:>5} of them indexes",
            bytes >> 20,
            each(bytes),
            each(of_indexes)
        );
    }
    Ok(())
}
