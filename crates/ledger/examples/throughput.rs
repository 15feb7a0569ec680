//! How fast one job goes through a ledger.
//!
//! `cargo run --release -p tidegate-ledger --example throughput -- [flat|tree] [full|normal] [DIRECTORY]`: in a file.
//!
//! `cargo run --release -p tidegate-ledger --example throughput -- [flat|tree] postgres://USER@HOST/DATABASE [BATCH]`: on
//! Postgres, in a database that is there for it; what it leaves in it may be dropped. `BATCH`: plans in a commit and pages
//! in a batch, by default 256.
//!
//! `flat`: one fetch, whose first page tells of all others. `tree`: a hundred fetches of one page below each page.
#![expect(clippy::print_stdout, reason = "it is there to print")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tidegate_contracts::{
    Call, CallEnd, End, FetchId, Fingerprint, JobId, Lane, NewFetch, NewPages, PageFacts, PagePointer, Params, Plan,
};
use tidegate_ledger::{
    Bounds, DEFAULT_TENANT, Ledger, LedgerError, NewJob, NewPage, Packed, PostgresConfig, PostgresLedger, SqliteLedger,
    Sync, Windows,
};

const CALLS: u64 = 100_000;
const CHILDREN: u64 = 100;
const IN_A_FILE: Batch = Batch { plans: 64, pages: 16 };
const ON_POSTGRES: usize = 256;
const PAGE_BYTES: usize = 3_000;
const ITEMS: u32 = 50;

/// Plans in a commit, pages in a batch.
#[derive(Clone, Copy)]
struct Batch {
    plans: usize,
    pages: usize,
}

/// What one kind of work took.
#[derive(Default)]
struct Spent {
    wall: Duration,
    cpu: Duration,
    written_bytes: u64,
}

impl Spent {
    async fn on<T>(&mut self, work: impl Future<Output = T>) -> T {
        let (wall, cpu, written) = (Instant::now(), cpu(), written_bytes());
        let done = work.await;
        self.wall += wall.elapsed();
        self.cpu += self::cpu() - cpu;
        self.written_bytes += written_bytes() - written;
        done
    }

    fn print(&self, what: &str) {
        let per_second = CALLS as f64 / self.wall.as_secs_f64();
        let cpu_us = self.cpu.as_secs_f64() * 1e6 / CALLS as f64;
        let written = self.written_bytes / CALLS;
        let seconds = self.wall.as_secs_f64();
        println!(
            "{what:10} {per_second:8.0} calls/s {cpu_us:8.1} us CPU/call {written:8} bytes written/call {seconds:8.2} s"
        );
    }
}

/// Of all threads, user and system, in steps of 10 ms: fields 14 and 15 of proc_pid_stat(5).
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Handed to the kernel so far: `wchar` of proc_pid_io(5).
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok()).unwrap_or(0)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let tree = arguments.next().is_some_and(|shape| shape == "tree");
    let second = arguments.next().unwrap_or_default();
    if second.starts_with("postgres") {
        let batch = arguments.next().map_or(Ok(ON_POSTGRES), |batch| batch.parse())?;
        return on_postgres(&second, tree, Batch { plans: batch, pages: batch }).await;
    }
    let sync = if second == "normal" { Sync::Normal } else { Sync::Full };
    let base = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(base)?;
    let file = dir.path().join("state.db");
    let ledger = SqliteLedger::open(&file, sync).await?;
    println!("{} {sync:?} {}", shape(tree), file.display());
    run(&ledger, tree, IN_A_FILE).await?;
    let bytes: u64 = std::fs::read_dir(dir.path())?.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum();
    println!("{} bytes on the disk for each call", bytes / CALLS);
    audit(&ledger).await?;
    ledger.close().await;
    Ok(())
}

async fn on_postgres(url: &str, tree: bool, batch: Batch) -> Result<(), Box<dyn std::error::Error>> {
    let config = PostgresConfig::new(url);
    PostgresLedger::migrate(&config).await?;
    let ledger = PostgresLedger::connect(&config).await?;
    println!("{} on Postgres, {} at once", shape(tree), batch.plans);
    run(&ledger, tree, batch).await?;
    audit(&ledger).await?;
    ledger.close().await;
    Ok(())
}

fn shape(tree: bool) -> &'static str {
    if tree { "tree" } else { "flat" }
}

async fn audit(ledger: &dyn Ledger) -> Result<(), LedgerError> {
    let sound = Instant::now();
    assert_eq!(ledger.audit().await?, Vec::<String>::new());
    println!("audit {:.2} s", sound.elapsed().as_secs_f64());
    Ok(())
}

async fn run(ledger: &dyn Ledger, tree: bool, batch_of: Batch) -> Result<(), LedgerError> {
    let windows = Windows { calls: [256.max(batch_of.plans as u32); 4], ..Windows::default() };
    let job = NewJob {
        id: JobId::new(),
        tenant: DEFAULT_TENANT.into(),
        name: "throughput".into(),
        fingerprint: "00".into(),
        spec: "{}".into(),
        provider: "mastodon".into(),
        lane: Lane::Normal,
        idempotency: None,
        bounds: Bounds::default(),
        extend: false,
    };
    ledger.submit(&job, 0).await?;
    let [mut begin, mut put, mut commit, mut all] = std::array::from_fn(|_| Spent::default());
    let work = all.on(async {
        let mut open = begin.on(ledger.commit(&[first(job.id, tree)], &windows, 0)).await?.released;
        let mut seq = 0;
        while !open.is_empty() {
            let batch: Vec<Call> = open.drain(..open.len().min(batch_of.plans)).collect();
            let pages: Vec<NewPage> = batch.iter().map(|call| page(call, &mut seq)).collect::<Result<_, _>>()?;
            for pages in pages.chunks(batch_of.pages) {
                put.on(ledger.put_pages(pages, 0)).await?;
            }
            let plans: Vec<Plan> = batch.iter().map(|call| plan(call, tree)).collect();
            open.extend(commit.on(ledger.commit(&plans, &windows, 0)).await?.released);
        }
        Ok::<_, LedgerError>(())
    });
    work.await?;
    begin.print("begin");
    put.print("put_pages");
    commit.print("commit");
    all.print("all");
    let counts = ledger.job(job.id).await?.map(|job| job.counts).unwrap_or_default();
    assert_eq!((counts.calls_succeeded, counts.calls_open), (CALLS, 0));
    Ok(())
}

fn first(job: JobId, tree: bool) -> Plan {
    let (parents, alone) = if tree { (CALLS / (CHILDREN + 1), CALLS % (CHILDREN + 1)) } else { (CALLS, 0) };
    let pages = vec![
        NewPages::Numbers { from: 0, until: parents, size: ITEMS, ordinal: 0 },
        NewPages::Offsets { from: 0, until: alone, size: 1, ordinal: 0 },
    ];
    Plan { fetches: vec![fetch(job, None, "roots", 0, pages)], ..empty(job) }
}

fn fetch(job: JobId, parent: Option<FetchId>, step: &str, n: u64, pages: Vec<NewPages>) -> NewFetch {
    let params: Params = [("id", n as i64)].into_iter().collect();
    let fetch = FetchId::derive(job, parent, step, &params);
    NewFetch {
        fetch,
        parent,
        step: step.into(),
        params,
        pages,
        failure: None,
        tolerated: false,
        after: Vec::new(),
        mark: None,
    }
}

fn plan(call: &Call, tree: bool) -> Plan {
    let end = End::Succeeded { items: ITEMS };
    let ended = CallEnd { fetch: call.fetch, call: call.call, attempt: 0, requests: 1, end };
    let fetches = match call.pointer {
        PagePointer::Number { page, .. } if tree => (0..CHILDREN)
            .map(|n| {
                let first = NewPages::One { pointer: PagePointer::First, ordinal: 0 };
                fetch(call.job, Some(call.fetch), "children", page * CHILDREN + n, vec![first])
            })
            .collect(),
        _ => Vec::new(),
    };
    Plan { ended: Some(ended), fetches, ..empty(call.job) }
}

fn empty(job: JobId) -> Plan {
    Plan::nothing(job)
}

/// A page of bytes that don't pack.
fn page(call: &Call, seq: &mut u64) -> Result<NewPage, LedgerError> {
    let noise = std::iter::repeat_with(|| {
        *seq = seq.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (*seq >> 56) as u8
    });
    let lines = Packed::pack(&noise.take(PAGE_BYTES).collect::<Vec<u8>>())?;
    let facts = PageFacts {
        items: ITEMS,
        total: Some(CALLS * u64::from(ITEMS)),
        next: None,
        has_more: None,
        fingerprint: Fingerprint(*seq as i64),
        ..PageFacts::default()
    };
    Ok(NewPage { call: call.call, fetch: call.fetch, job: call.job, step: call.step.clone(), facts, top: None, lines })
}
