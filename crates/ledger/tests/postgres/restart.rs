//! A server that crashes and comes back.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tidegate_contracts::Call;
use tidegate_ledger::{JobState, Ledger, LedgerError, PostgresConfig, PostgresLedger};

use crate::job::{NOW, begin, ok, page, windows};

/// A server of the test's own, in a directory of its own.
struct Server {
    dir: PathBuf,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("tidegate-postgres-{}", std::process::id()));
        // Below the ports that the system gives out by itself.
        let first = 20_000 + (std::process::id() % 10_000) as u16;
        let port = (first..first + 100)
            .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .expect("a free port");
        let server = Self { dir, port };
        server.run(&["mkdir", "-m", "700", &server.path("")]);
        let data = server.path("data");
        server.run(&[&bin("initdb"), "-D", &data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8"]);
        server.control("start", &[]);
        server
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// As a crash would: nothing is written down, connections break off.
    fn crash_and_start(&self) {
        self.control("stop", &["-m", "immediate"]);
        self.control("start", &[]);
    }

    fn control(&self, what: &str, more: &[&str]) {
        let options = format!("-p {} -k {} -c listen_addresses=127.0.0.1", self.port, self.dir.display());
        let (data, log, control) = (self.path("data"), self.path("log"), bin("pg_ctl"));
        let mut command = vec![control.as_str(), what, "-w", "-D", &data];
        if what == "start" {
            command.extend(["-l", &log, "-o", &options]);
        }
        command.extend(more);
        self.run(&command);
    }

    /// Postgres does not run as root; then its own user does it.
    fn run(&self, command: &[&str]) {
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
        let mut words = if is_root { vec!["runuser", "-u", "postgres", "--"] } else { Vec::new() };
        words.extend(command);
        let ran = Command::new(words[0])
            .args(&words[1..])
            .current_dir("/")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
        assert!(ran.as_ref().is_ok_and(std::process::ExitStatus::success), "{words:?}: {ran:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.control("stop", &["-m", "immediate"]);
        } else {
            let _ =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.control("stop", &["-m", "immediate"])));
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn bin(program: &str) -> String {
    let dir = std::env::var("TIDEGATE_TEST_POSTGRES_BIN").map(PathBuf::from).unwrap_or_else(|_| {
        let versions = std::fs::read_dir("/usr/lib/postgresql").expect("the programs of a Postgres server");
        versions.map(|version| version.expect("reads").path().join("bin")).max().expect("a version")
    });
    dir.join(program).display().to_string()
}

/// Does it until it is done; what is in the way meanwhile must be something that passes.
async fn until_done<T>(what: impl AsyncFn() -> Result<T, LedgerError>) -> (T, u32) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut refused = 0;
    loop {
        match what().await {
            Ok(done) => return (done, refused),
            Err(error) => {
                assert!(matches!(error, LedgerError::Unavailable(_)) && error.is_passing(), "{error:?}");
                assert!(Instant::now() < deadline, "not back: {error:?}");
                refused += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_and_comes_back_has_lost_nothing_that_was_committed() {
    const PAGES: u64 = 1_500;
    let server = Server::start();
    let config = PostgresConfig { acquire_timeout: Duration::from_millis(500), ..PostgresConfig::new(server.url()) };
    PostgresLedger::migrate(&config).await.expect("migrates");
    let ledger = PostgresLedger::connect(&config).await.expect("connects");
    let (job, mut open) = begin(&ledger, PAGES, 40).await;
    let (mut committed, mut crashes, mut refused) = (0, 0, 0);
    let mut crashing: Option<tokio::task::JoinHandle<Server>> = None;
    let mut server = Some(server);
    while committed < PAGES || crashing.is_some() {
        if crashing.as_ref().is_some_and(tokio::task::JoinHandle::is_finished) {
            server = Some(crashing.take().expect("is there").await.expect("starts again"));
        }
        // In the middle of the work, from the side.
        if committed > PAGES / 3 * (crashes + 1) && crashing.is_none() && crashes < 2 {
            crashes += 1;
            let server = server.take().expect("is up");
            crashing = Some(tokio::task::spawn_blocking(move || {
                server.crash_and_start();
                server
            }));
        }
        if open.is_empty() {
            // A commit whose answer was lost had released calls; the sweeper finds them.
            let (swept, _) = until_done(async || ledger.sweep(true, &windows(40), NOW).await).await;
            open = swept.calls.into_iter().map(|(call, _)| call).collect();
            if open.is_empty() && committed >= PAGES {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        }
        let batch: Vec<Call> = open.drain(..open.len().min(10)).collect();
        let pages: Vec<_> = batch.iter().map(page).collect();
        let plans: Vec<_> = batch.iter().map(ok).collect();
        let (_, refused_page) = until_done(async || ledger.put_pages(&pages, NOW).await).await;
        let (done, refused_plan) = until_done(async || ledger.commit(&plans, &windows(40), NOW).await).await;
        refused += refused_page + refused_plan;
        open.extend(done.released);
        // What was said to be committed stays so.
        let ended = until_done(async || ledger.job(job).await).await.0.expect("is there").counts.calls_succeeded;
        assert!(ended >= committed + batch.len() as u64 || ended == PAGES, "{ended} after {committed}");
        committed = ended;
    }
    assert_eq!(crashes, 2, "{refused} refused");
    let row = ledger.job(job).await.expect("reads").expect("is there");
    assert_eq!((row.state, row.counts.calls_succeeded, row.counts.items), (JobState::Succeeded, PAGES, PAGES));
    assert_eq!(ledger.pages_after(job, 0, u32::MAX).await.expect("reads").len() as u64, PAGES);
    assert_eq!(ledger.audit().await.expect("counts"), Vec::<String>::new());
    ledger.close().await;
    drop(server);
}
