//! Where a test happens: a folder of its own with files and the program, and the account at the end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tidegate_ledger::{JobFilter, JobRow, Ledger, SqliteLedger, Sync};

use crate::process::{Cli, DEADLINE, Finished};

/// The job file that [`World::job`] runs.
pub(crate) const JOB: &str = "job.yaml";
/// Where [`World::job`] writes items.
pub(crate) const OUT: &str = "out.ndjson";
/// The state file of [`JOB`].
pub(crate) const STATE: &str = ".tidegate/job.db";

/// What [`World::job`] runs: quiet, with a report as JSON, allowed to call this machine.
pub(crate) const RUN: [&str; 7] = ["run", JOB, "-o", OUT, "--json", "--quiet", "--allow-private=127.0.0.0/8"];

/// Pages read at once.
const PAGES: u32 = 256;

/// A folder of its own with files and the program.
///
/// Every test ends with [`World::finish`]; a world that is dropped before fails its test.
#[must_use = "a world is finished"]
pub(crate) struct World {
    folder: TempDir,
    finished: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::with_prefix("tidegate-it-").expect("a temporary folder"), finished: false }
    }

    /// With a provider file (`sim.yaml`, provider `sim`) for an API at `base_url`, and a job file ([`JOB`]) that uses it;
    /// both are given without their first lines.
    pub(crate) fn with(base_url: &str, provider: &str, job: &str) -> Self {
        let world = Self::new();
        world.provider(base_url, provider);
        world.write(JOB, &format!("provider: ./sim.yaml\n{job}"));
        world
    }

    /// Writes the provider file.
    pub(crate) fn provider(&self, base_url: &str, provider: &str) {
        self.write("sim.yaml", &format!("tidegate: 1\nprovider: sim\nbase_url: \"{base_url}\"\n{provider}"));
    }

    /// Where a file of this name is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Reads a file.
    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// `tidegate ARGS…` in this folder.
    pub(crate) fn tidegate(&self, args: &[&str]) -> Cli {
        Cli::new(self.folder.path(), args)
    }

    /// Runs `tidegate ARGS…` in this folder to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Finished {
        self.tidegate(args).run().await
    }

    /// The job's command line ([`RUN`]) with more arguments.
    pub(crate) fn job_line(&self, more: &[&str]) -> Cli {
        self.tidegate(&[&RUN[..], more].concat())
    }

    /// Runs the job with more arguments, to its end.
    pub(crate) async fn job(&self, more: &[&str]) -> Finished {
        self.job_line(more).run().await
    }

    /// Items of an output file, one for each line.
    #[track_caller]
    pub(crate) fn items(&self, name: &str) -> Vec<Value> {
        items(&self.read(name))
    }

    /// Ids of the items of an output file, in order.
    #[track_caller]
    pub(crate) fn ids(&self, name: &str) -> Vec<String> {
        ids(&self.items(name))
    }

    /// Names of all files in this folder that end so, at any depth.
    pub(crate) fn files(&self, ending: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder of the test's own") {
                let path = entry.expect("a folder of the test's own").path();
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.to_string_lossy().ends_with(ending) => found.push(path),
                    false => {}
                }
            }
        }
        found
    }

    /// Opens the state file [`STATE`]; only while no program works on it.
    pub(crate) async fn ledger(&self) -> SqliteLedger {
        SqliteLedger::open(&self.path(STATE), Sync::Full).await.expect("the state file opens")
    }

    /// Items of a step that the state file holds, without those that came before.
    pub(crate) async fn held(&self, step: &str) -> Vec<Value> {
        items(&self.run(&["items", STATE, "--step", step]).await.expect(0).stdout)
    }

    /// Recounts what all state files hold: every account balances, and every counter is the count of its rows.
    pub(crate) async fn recount(&self) {
        for state in self.files(".db") {
            self.ask_status(&state).await;
            recount(&state).await;
        }
    }

    /// Recounts, and ends the test.
    pub(crate) async fn finish(mut self) {
        self.finished = true;
        self.recount().await;
    }

    async fn ask_status(&self, state: &Path) {
        let path = state.to_string_lossy();
        let status = self.run(&["status", &path, "--json"]).await.expect(0).json();
        for job in status.as_array().expect("status is a list of jobs") {
            let count = |name: &str| job[name].as_u64().unwrap_or_else(|| panic!("no {name} in {job}"));
            let ended = ["calls_succeeded", "calls_skipped", "calls_failed", "calls_cancelled"].map(count);
            assert_eq!(count("calls_planned"), count("calls_open") + ended.iter().sum::<u64>(), "{path}: {job}");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.finished && !std::thread::panicking() {
            panic!("a world was dropped without `finish`");
        }
    }
}

async fn recount(state: &Path) {
    let path = state.display();
    let ledger = SqliteLedger::open(state, Sync::Full).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(ledger.audit().await.expect("an audit"), Vec::<String>::new(), "{path}");
    for job in ledger.jobs(&JobFilter::newest(1_000)).await.expect("jobs") {
        assert!(job.counts.balances(), "{path}: {:?}", job.counts);
        let stored: u64 = stored_pages(&ledger, &job).await.values().sum();
        // A page whose call has not ended is stored before it is counted.
        let ended = job.state.is_final();
        assert!(
            stored == job.counts.items || (!ended && stored > job.counts.items),
            "{path}: {stored} {:?}",
            job.counts
        );
    }
    ledger.close().await;
}

/// How many items each stored page of a job holds, by its place in the file; counted in its lines.
async fn stored_pages(ledger: &SqliteLedger, job: &JobRow) -> HashMap<i64, u64> {
    let mut stored = HashMap::new();
    let mut seq = 0;
    loop {
        let pages = ledger.pages_after(job.id, seq, PAGES).await.expect("pages");
        let Some(last) = pages.last() else { return stored };
        seq = last.seq;
        for page in &pages {
            let lines = page.lines.unpack().expect("a page unpacks");
            let items = lines.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(items, page.items as usize, "a page of {} says how many items it holds", page.step);
            stored.insert(page.seq, items as u64);
        }
    }
}

/// One item for each line.
#[track_caller]
pub(crate) fn items(lines: &str) -> Vec<Value> {
    let item = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the line {line}"));
    lines.lines().map(item).collect()
}

/// The `id` of each item.
#[track_caller]
pub(crate) fn ids(items: &[Value]) -> Vec<String> {
    let id = |item: &Value| item["id"].as_str().map_or_else(|| item["id"].to_string(), str::to_owned);
    items.iter().map(id).collect()
}

/// The same ids, each exactly as often; in any order.
#[track_caller]
pub(crate) fn assert_same(found: Vec<String>, expected: Vec<String>) {
    let sorted = |mut ids: Vec<String>| {
        ids.sort_unstable();
        ids
    };
    let (found, expected) = (sorted(found), sorted(expected));
    if found != expected {
        let lacking = |of: &[String], from: &[String]| {
            let held: std::collections::HashSet<_> = from.iter().collect();
            of.iter().filter(|id| !held.contains(id)).take(10).cloned().collect::<Vec<_>>()
        };
        let twice: Vec<_> = found.windows(2).filter(|pair| pair[0] == pair[1]).take(10).map(|pair| &pair[0]).collect();
        panic!(
            "{} ids where {} were expected; missing: {:?}; unexpected: {:?}; more than once: {twice:?}",
            found.len(),
            expected.len(),
            lacking(&expected, &found),
            lacking(&found, &expected),
        );
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &'static str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "waited {DEADLINE:?} until {what}");
}
