//! What is particular to a ledger in a file: opening it, its schema, and disks.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tidegate_contracts::{
    CallId, FetchId, Fingerprint, JobId, Lane, NewFetch, NewPages, PageFacts, PagePointer, Params, Plan,
};
use tidegate_ledger::{
    Bounds, DEFAULT_TENANT, JobFilter, Ledger, LedgerError, NewJob, NewPage, Packed, SqliteLedger, Sync, Windows,
};

const MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/sqlite");

fn job() -> NewJob {
    NewJob {
        id: JobId::new(),
        tenant: DEFAULT_TENANT.into(),
        name: "a job".into(),
        fingerprint: "00ff".into(),
        spec: "{}".into(),
        provider: "mastodon".into(),
        lane: Lane::Normal,
        idempotency: None,
        bounds: Bounds::default(),
        extend: false,
    }
}

/// A job that has begun with one fetch of 300 pages.
async fn begin(ledger: &SqliteLedger) -> JobId {
    let (new, params) = (job(), Params::default());
    ledger.submit(&new, 1).await.expect("submits");
    let fetch = NewFetch {
        fetch: FetchId::derive(new.id, None, "roots", &params),
        parent: None,
        step: "roots".into(),
        params,
        pages: vec![NewPages::Numbers { from: 0, until: 300, size: 1, ordinal: 0 }],
        failure: None,
        tolerated: false,
        after: vec![],
        mark: None,
    };
    let plan = Plan { fetches: vec![fetch], ..Plan::nothing(new.id) };
    ledger.commit(&[plan], &Windows::default(), 1).await.expect("begins");
    new.id
}

/// Page `n` of a job, of bytes that don't pack.
fn page(job: JobId, n: u64, bytes: usize) -> NewPage {
    let fetch = FetchId::derive(job, None, "roots", &Params::default());
    let facts = PageFacts {
        items: 1,
        total: None,
        next: None,
        has_more: None,
        fingerprint: Fingerprint(n as i64),
        ..PageFacts::default()
    };
    let mut number = n + 1;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        number = number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (number >> 56) as u8
    })
    .take(bytes)
    .collect();
    let call = CallId::derive(fetch, &PagePointer::Number { page: n, size: 1 });
    NewPage { call, fetch, job, step: "roots".into(), facts, top: None, lines: Packed::pack(&noise).expect("packs") }
}

/// The error and its causes, as a person reads them.
fn told(error: &LedgerError) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

async fn pool(path: &Path) -> SqlitePool {
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(path).create_if_missing(true))
        .await
        .expect("connects")
}

async fn open(path: &Path) -> Result<SqliteLedger, LedgerError> {
    SqliteLedger::open(path, Sync::Full).await
}

#[tokio::test]
async fn what_was_committed_is_there_when_the_file_is_opened_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.db");
    let new = job();
    let ledger = open(&path).await.expect("opens");
    ledger.submit(&new, 1).await.expect("submits");
    ledger.close().await;
    let ledger = open(&path).await.expect("opens again");
    assert_eq!(ledger.spec(new.id).await.expect("reads").expect("is there").spec, new.spec);
    ledger.close().await;
    // Closed, it is one file, to be copied or sent.
    let files: Vec<_> =
        std::fs::read_dir(dir.path()).expect("reads").map(|file| file.expect("reads").file_name()).collect();
    assert_eq!(files, ["state.db"]);
}

#[tokio::test]
async fn the_file_of_a_newer_build_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.db");
    open(&path).await.expect("opens").close().await;
    let pool = pool(&path).await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (29990101000000, 'newer', true, x'00', 0)";
    sqlx::query(newer).execute(&pool).await.expect("inserts");
    pool.close().await;
    let error = open(&path).await.expect_err("is newer");
    assert!(matches!(error, LedgerError::Newer(29_990_101_000_000)), "{error:?}");
    assert!(told(&error).contains("newer tidegate (schema 29990101000000)"), "{}", told(&error));
}

#[tokio::test]
async fn the_file_of_an_older_build_is_brought_up_to_date() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.db");
    let pool = pool(&path).await;
    MIGRATIONS.run_to(20_261_122_000_001, &pool).await.expect("goes up");
    let old = "INSERT INTO jobs (id, name, fingerprint, spec, provider, lane, state, submitted_at_ms)
               VALUES (randomblob(16), 'old', '00ff', '{}', 'mastodon', 'normal', 'submitted', 1)";
    sqlx::query(old).execute(&pool).await.expect("inserts");
    pool.close().await;
    let ledger = open(&path).await.expect("opens");
    let jobs = ledger.jobs(&JobFilter::newest(9)).await.expect("reads");
    assert_eq!((jobs.len(), jobs[0].tenant.as_str()), (1, DEFAULT_TENANT));
    ledger.close().await;
}

#[tokio::test]
async fn what_is_no_database_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("notes.txt");
    std::fs::write(&path, "Milk, bread, and a great deal of text.\n".repeat(1_000)).expect("writes");
    for (path, cause) in [
        (path.clone(), "file is not a database"),
        (dir.path().to_owned(), "unable to open database file"),
        (dir.path().join("none/state.db"), "unable to open database file"),
    ] {
        let error = open(&path).await.expect_err("is no database");
        assert!(matches!(error, LedgerError::Open { .. }), "{error:?}");
        let told = told(&error);
        assert!(told.contains(&path.display().to_string()) && told.contains(cause), "{told}");
    }
    // And left as it was.
    assert!(std::fs::read_to_string(&path).expect("reads").starts_with("Milk, bread"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_file_opened_at_once_by_several_is_made_once() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().expect("a directory");
        let path = Arc::new(dir.path().join("state.db"));
        let openings: Vec<_> = (0..4)
            .map(|_| {
                tokio::spawn({
                    let path = path.clone();
                    async move { open(&path).await }
                })
            })
            .collect();
        let new = job();
        for opening in openings {
            let ledger = opening.await.expect("ends").map_err(|error| told(&error)).expect("opens");
            ledger.submit(&new, 1).await.expect("submits");
            assert_eq!(ledger.jobs(&JobFilter::newest(9)).await.expect("reads").len(), 1);
            ledger.close().await;
        }
    }
}

#[tokio::test]
async fn the_schema_goes_up_and_down_and_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let pool = pool(&dir.path().join("state.db")).await;
    let schema = async || {
        let sql =
            "SELECT name || ' ' || coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE '\\_sqlx%' ESCAPE '\\'
                   AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
        sqlx::query_scalar::<_, String>(sql).fetch_all(&pool).await.expect("reads")
    };
    MIGRATIONS.run(&pool).await.expect("goes up");
    let up = schema().await;
    assert!(up.iter().any(|table| table.starts_with("calls CREATE TABLE")));
    MIGRATIONS.undo(&pool, 0).await.expect("goes down");
    assert_eq!(schema().await, Vec::<String>::new());
    MIGRATIONS.run(&pool).await.expect("goes up again");
    assert_eq!(schema().await, up);
}

#[tokio::test]
async fn a_full_disk_is_told_and_costs_nothing_that_was_committed() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.db");
    let ledger = SqliteLedger::open_capped(&path, Sync::Full, 100).await.expect("opens");
    let job = begin(&ledger).await;
    let mut stored = 0;
    let error = loop {
        match ledger.put_pages(&[page(job, 2 * stored, 5_000), page(job, 2 * stored + 1, 5_000)], 1).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100, "takes more than its pages");
    };
    assert!(matches!(error, LedgerError::Full(_)), "{error:?}");
    assert!(stored > 5, "{stored}");
    assert!(error.to_string().contains("what was committed before is safe"));
    let rows = async |ledger: &SqliteLedger| ledger.pages_after(job, 0, 1_000).await.expect("reads").len() as u64;
    assert_eq!(rows(&ledger).await, 2 * stored);
    // What takes no room is still written: what failed was undone whole.
    for n in 0..3 {
        let large = NewJob { spec: format!("\"{}\"", "x".repeat(200_000)), ..self::job() };
        let error = ledger.submit(&large, 1).await.expect_err("is full");
        assert!(matches!(error, LedgerError::Full(_)), "{error:?}");
        ledger.put_pages(&[page(job, 200 + n, 200_000)], 1).await.expect_err("is full");
        let deferred = ledger.sweep(true, &Windows::default(), n as i64).await.expect("sweeps").calls;
        assert_eq!(deferred.len(), 256);
    }
    ledger.cancel(job, "no room", 1).await.expect("cancels");
    assert_eq!(ledger.job(job).await.expect("reads").and_then(|row| row.reason).as_deref(), Some("no room"));
    assert_eq!(rows(&ledger).await, 2 * stored);
    assert_eq!(ledger.audit().await.expect("counts"), Vec::<String>::new());
    ledger.close().await;

    // With room again it goes on from there.
    let ledger = open(&path).await.expect("opens again");
    assert_eq!(rows(&ledger).await, 2 * stored);
    ledger.put_pages(&[page(job, 2 * stored, 5_000)], 1).await.expect("stores");
    assert_eq!(rows(&ledger).await, 2 * stored + 1);
    ledger.close().await;
}

#[tokio::test]
async fn a_disk_too_full_for_the_schema_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = SqliteLedger::open_capped(&dir.path().join("state.db"), Sync::Full, 3).await.expect_err("is too small");
    assert!(matches!(error, LedgerError::Full(_)), "{error:?}");
}
