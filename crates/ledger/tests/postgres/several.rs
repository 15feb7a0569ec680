//! Several processes on one ledger.

use std::collections::HashSet;

use tidegate_contracts::{Call, CallId, Plan};
use tidegate_ledger::{JobState, Ledger, PostgresLedger};

use crate::database::Database;
use crate::job::{NOW, begin, deferred, first_plan, new_job, ok, page, page_number, windows};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn trackers_that_are_told_the_same_release_each_call_once() {
    const JOBS: usize = 3;
    const PAGES: u64 = 60;
    let database = Database::migrated().await;
    let ledger = database.ledger().await;
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        let new = new_job();
        ledger.submit(&new, NOW).await.expect("submits");
        jobs.push(new.id);
    }
    let mut plans: Vec<Plan> = jobs.iter().map(|job| first_plan(*job, PAGES)).collect();
    let (mut released, mut finished) = (HashSet::<CallId>::new(), Vec::new());
    while !plans.is_empty() {
        // Each in another order, as redeliveries come.
        let trackers = (0..4).map(|turn| {
            let (ledger, mut plans) = (ledger.clone(), plans.clone());
            let half = plans.len() / 2;
            match turn {
                0 => {}
                1 => plans.reverse(),
                2 => plans.rotate_left(half),
                _ => plans.truncate(half),
            }
            tokio::spawn(async move { ledger.commit(&plans, &windows(7), NOW).await })
        });
        let mut open: Vec<Call> = Vec::new();
        for tracker in trackers.collect::<Vec<_>>() {
            let committed = tracker.await.expect("ends").expect("commits");
            open.extend(committed.released);
            finished.extend(committed.finished);
        }
        for call in &open {
            assert!(released.insert(call.call), "{call:?} was released twice");
        }
        let pages: Vec<_> = open.iter().map(page).collect();
        ledger.put_pages(&pages, NOW).await.expect("stores");
        plans = open.iter().map(ok).collect();
        assert_eq!(ledger.audit().await.expect("counts"), Vec::<String>::new());
    }
    assert_eq!(released.len() as u64, JOBS as u64 * PAGES);
    finished.sort_unstable();
    jobs.sort_unstable();
    assert_eq!(finished, jobs);
    for job in jobs {
        let row = ledger.job(job).await.expect("reads").expect("is there");
        assert_eq!((row.state, row.counts.calls_succeeded), (JobState::Succeeded, PAGES));
    }
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sweepers_at_once_release_what_is_lost_once() {
    let database = Database::migrated().await;
    let ledger = database.ledger().await;
    let (_, calls) = begin(&ledger, 300, 250).await;
    ledger.commit(&[deferred(&calls[0], NOW + 500_000)], &windows(250), NOW).await.expect("defers");
    let ledgers: Vec<PostgresLedger> = vec![database.ledger().await, database.ledger().await, ledger.clone()];
    let sweeps = ledgers.iter().map(|ledger| {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.sweep(false, &windows(260), NOW + 60_000).await })
    });
    let mut found = Vec::new();
    for sweep in sweeps.collect::<Vec<_>>() {
        found.extend(sweep.await.expect("ends").expect("sweeps").calls.into_iter().map(|(call, _)| call.call));
    }
    // The lost ones but for the one that waits, and ten new ones into the wider window.
    assert_eq!((found.len(), found.iter().collect::<HashSet<_>>().len()), (249 + 10, 249 + 10));
    assert_eq!(ledger.audit().await.expect("counts"), Vec::<String>::new());
    for ledger in ledgers {
        ledger.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_misses_no_page_while_many_are_stored_at_once() {
    const PAGES: u64 = 1_200;
    const WRITERS: u64 = 6;
    let database = Database::migrated().await;
    let ledger = PostgresLedger::connect(&tidegate_ledger::PostgresConfig { connections: 12, ..database.config() })
        .await
        .expect("connects");
    let (job, _) = begin(&ledger, PAGES, 1).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let mut mine = (writer..PAGES).step_by(WRITERS as usize).peekable();
                let mut batch = 1 + writer as usize;
                while mine.peek().is_some() {
                    let pages: Vec<_> = mine.by_ref().take(batch).map(|n| page_number(job, n)).collect();
                    ledger.put_pages(&pages, NOW).await.expect("stores");
                    batch = 1 + (batch + 4) % 9;
                }
            })
        })
        .collect();
    let (mut seq, mut read) = (0, HashSet::new());
    while (read.len() as u64) < PAGES {
        let done = writers.iter().all(tokio::task::JoinHandle::is_finished);
        let rows = ledger.pages_after(job, seq, 50).await.expect("reads");
        assert!(!(done && rows.is_empty()), "{} of {PAGES} pages were passed over", PAGES - read.len() as u64);
        for row in rows {
            assert!(row.seq > seq);
            seq = row.seq;
            assert!(read.insert(row.lines.unpack().expect("unpacks")), "a page came twice");
        }
    }
    for writer in writers {
        writer.await.expect("writes");
    }
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_page_that_two_store_at_once_is_stored_once() {
    let database = Database::migrated().await;
    let ledger = database.ledger().await;
    let (job, calls) = begin(&ledger, 100, 100).await;
    for chunk in calls.chunks(20) {
        let pages: Vec<_> = chunk.iter().map(page).collect();
        let writers = (0..3).map(|turn| {
            let (ledger, mut pages) = (ledger.clone(), pages.clone());
            if turn == 1 {
                // In each other's way.
                pages.reverse();
            }
            tokio::spawn(async move { ledger.put_pages(&pages, NOW).await })
        });
        for writer in writers.collect::<Vec<_>>() {
            let facts = writer.await.expect("ends").expect("stores");
            assert_eq!(facts.len(), pages.len());
            assert!(facts.iter().all(|facts| !facts.repeated));
        }
    }
    assert_eq!(ledger.pages_after(job, 0, 1_000).await.expect("reads").len(), 100);
    ledger.close().await;
}
