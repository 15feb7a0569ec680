//! What is told of finished jobs.

use super::scene::{LEASE, NOW, Scene, failed, first, new_job, ok};
use crate::{Ledger, NewJob, Notice, NoticeEvent, NoticeRow, Notices, RetryFilter, Then, Tried};

/// A job of one call that asks to be told of these ends, and has come to one of them.
async fn finished<'a, L: Ledger>(ledger: &'a L, on: &str, fails: bool) -> Scene<'a> {
    let spec = format!(r#"{{"job":{{"notify":{{"url":"https://hooks.example/\u0000","on":[{on}]}}}}}}"#);
    let job = NewJob { spec, ..new_job("told") };
    let scene = Scene::of(ledger, &job).await;
    let out = scene.commit(&[scene.begin(vec![scene.root(vec![first()])])]).await.released;
    let end = if fails { failed(&out[0], false) } else { ok(&out[0]) };
    assert_eq!(scene.commit(&[end]).await.finished, [scene.job]);
    scene
}

async fn take<L: Notices>(ledger: &L, now_ms: i64) -> Vec<Notice> {
    ledger.take_due(10, LEASE, now_ms).await.expect("takes")
}

async fn only<L: Notices>(ledger: &L, scene: &Scene<'_>) -> NoticeRow {
    let mut rows = ledger.notices(scene.job).await.expect("reads");
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

/// A notice is made with the end of a job that asks for it, and of no other; it is tried until it is taken, and what is
/// told late of an attempt changes nothing.
pub async fn a_finished_job_is_told_of_until_it_is_taken<L: Ledger + Notices>(ledger: &L) {
    let silent = Scene::new(ledger, 1).await;
    silent.commit(&[silent.begin(vec![])]).await;
    let other = finished(ledger, r#""failed""#, false).await;
    assert!(take(ledger, NOW).await.is_empty());
    assert!(ledger.notices(silent.job).await.expect("reads").is_empty());
    assert!(ledger.notices(other.job).await.expect("reads").is_empty());

    let scene = finished(ledger, r#""failed","succeeded""#, false).await;
    let lent = take(ledger, NOW).await;
    let expected = Notice { job: scene.job, event: NoticeEvent::Succeeded, at_ms: NOW, parked: None, attempt: 1 };
    assert_eq!(lent, [expected]);
    assert!(take(ledger, NOW + LEASE - 1).await.is_empty(), "it is lent");
    // Whoever had it has died.
    let again = take(ledger, NOW + LEASE).await;
    assert_eq!((again.len(), again[0].attempt), (1, 2));
    let told = |then| Tried { last: "503\0".to_owned() + &"x".repeat(1_000), then };
    ledger.tried(&lent[0], &told(Then::Delivered), NOW).await.expect("notes");
    assert_eq!(only(ledger, &scene).await.state, "waiting", "the first attempt is past");
    ledger.tried(&again[0], &told(Then::Again { at_ms: NOW + LEASE + 5 }), NOW + LEASE).await.expect("notes");
    let row = only(ledger, &scene).await;
    assert_eq!((row.state.as_str(), row.next_at_ms, row.ended_at_ms), ("waiting", Some(NOW + LEASE + 5), None));
    assert!(row.last.is_some_and(|last| last.starts_with("503") && last.chars().count() <= 500));

    let last = take(ledger, NOW + LEASE + 5).await;
    ledger.tried(&last[0], &told(Then::Delivered), NOW + LEASE + 6).await.expect("notes");
    ledger.tried(&last[0], &told(Then::Again { at_ms: 1 }), NOW + LEASE + 7).await.expect("notes");
    let row = only(ledger, &scene).await;
    assert_eq!((row.state.as_str(), row.attempts, row.next_at_ms), ("delivered", 3, None));
    assert_eq!((row.event, row.ended_at_ms), (NoticeEvent::Succeeded, Some(NOW + LEASE + 6)));
    assert!(take(ledger, i64::MAX - LEASE).await.is_empty());
}

/// A job that is tried again finishes again, also within the same millisecond; a cancelled one is told of too.
pub async fn each_finishing_of_a_job_is_told_of<L: Ledger + Notices>(ledger: &L) {
    let scene = finished(ledger, r#""failed","cancelled""#, true).await;
    for now_ms in [NOW, NOW + 1] {
        assert_eq!(ledger.retry_failed(scene.job, &RetryFilter::default(), NOW).await.expect("reopens"), 1);
        let swept = ledger.sweep(false, &scene.windows, NOW).await.expect("sweeps").calls;
        assert_eq!(scene.commit_at(&[failed(&swept[0].0, false)], now_ms).await.finished, [scene.job]);
    }
    let rows = ledger.notices(scene.job).await.expect("reads");
    assert_eq!(rows.iter().map(|row| row.at_ms).collect::<Vec<_>>(), [NOW, NOW + 1]);
    assert_eq!(take(ledger, NOW + 1).await.len(), 2);

    let spec = r#"{"job":{"notify":{"on":["cancelled"]}}}"#.to_owned();
    let cancelled = Scene::of(ledger, &NewJob { spec, ..new_job("cancelled") }).await;
    ledger.cancel(cancelled.job, "a slip", NOW + 2).await.expect("cancels");
    assert_eq!(only(ledger, &cancelled).await.event, NoticeEvent::Cancelled);
}
