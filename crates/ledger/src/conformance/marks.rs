//! Marks: how far runs of a job have seen what their fetches ask for.

use tidegate_contracts::{Call, Class, End, FetchEnd, Fingerprint, Mark, MarkId, NewFetch, PageFacts, Plan};

use super::scene::{NOW, Scene, cursor, end, failed, failure, fetch, first, new_job, offsets, skipped};
use crate::{DEFAULT_TENANT, JobState, Ledger, MarkFilter, MarkRow, NewJob, NewPage, Packed, RetryFilter};

fn value(json: &str) -> Mark {
    Mark::read(json, None).expect("a value")
}

fn of_tenant(tenant: &str) -> MarkFilter {
    MarkFilter { tenant: tenant.to_owned(), limit: 100, ..MarkFilter::default() }
}

async fn marks(ledger: &dyn Ledger) -> Vec<MarkRow> {
    ledger.marks(&of_tenant(DEFAULT_TENANT)).await.expect("reads")
}

/// The values of all marks, by step, in their order.
async fn values(ledger: &dyn Ledger) -> Vec<(String, String)> {
    let mut values: Vec<_> = marks(ledger).await.into_iter().map(|row| (row.step, row.value.shown())).collect();
    values.sort();
    values
}

fn step_and_value(step: &str, value: &str) -> (String, String) {
    (step.to_owned(), value.to_owned())
}

/// The fetch, whose mark is that of its step and parameters.
fn marked(fetch: NewFetch) -> NewFetch {
    NewFetch { mark: Some(MarkId::derive(&format!("{} {}", fetch.step, fetch.params.canonical()))), ..fetch }
}

/// A job of one marked root, and its calls that are out.
async fn begun<'a>(ledger: &'a dyn Ledger, new: &NewJob, pages: u64) -> (Scene<'a>, Vec<Call>) {
    let scene = Scene::of(ledger, new).await;
    let root = marked(fetch(scene.job, None, "roots", 0, vec![offsets(0, pages)]));
    let calls = scene.commit(&[scene.begin(vec![root])]).await.released;
    (scene, calls)
}

fn extending(name: &str) -> NewJob {
    NewJob { extend: true, ..new_job(name) }
}

/// The call brought a page with one item of this value.
async fn brings(ledger: &dyn Ledger, call: &Call, json: &str) -> Plan {
    let (bytes, _) = call.call.as_bytes().split_first_chunk::<8>().expect("16 bytes");
    let facts = PageFacts { items: 10, fingerprint: Fingerprint(i64::from_be_bytes(*bytes)), ..PageFacts::default() };
    let lines = Packed::pack(&b"{}\n".repeat(10)).expect("packs");
    let (step, top) = (call.step.clone(), Some(value(json)));
    let page = NewPage { call: call.call, fetch: call.fetch, job: call.job, step, facts, top, lines };
    ledger.put_pages(&[page], NOW).await.expect("stores");
    end(call, End::Succeeded { items: 10 })
}

/// Runs a job of one marked root with a page for each value to its end; what its calls were told to begin from.
async fn run(ledger: &dyn Ledger, new: &NewJob, brought: &[&str]) -> Option<String> {
    let (scene, calls) = begun(ledger, new, brought.len() as u64).await;
    let mut plans = Vec::new();
    for (call, json) in calls.iter().zip(brought) {
        plans.push(brings(ledger, call, json).await);
    }
    assert_eq!(scene.commit(&plans).await.finished, [scene.job]);
    calls.first().and_then(|call| call.since.as_ref()).map(Mark::shown)
}

/// Of all pages, by what the values are; and a later run begins from there, while one that takes all does not.
pub async fn a_mark_is_the_highest_value_that_a_run_has_seen(ledger: &dyn Ledger) {
    assert_eq!(run(ledger, &extending("nightly"), &["9", "100", r#""12345678901234567890""#, "11"]).await, None);
    assert_eq!(values(ledger).await, [step_and_value("roots", "12345678901234567890")]);
    let row = marks(ledger).await.remove(0);
    assert_eq!((row.job_name.as_str(), row.params.as_str(), row.moved_at_ms), ("nightly", r#"{"n":0}"#, NOW));
    assert_eq!(run(ledger, &new_job("nightly"), &["7"]).await, None);
    assert_eq!(run(ledger, &extending("nightly"), &["7"]).await.as_deref(), Some("12345678901234567890"));
    assert_eq!(values(ledger).await, [step_and_value("roots", "12345678901234567890")], "it never goes back");
    run(ledger, &new_job("nightly"), &["12345678901234567891"]).await;
    assert_eq!(values(ledger).await, [step_and_value("roots", "12345678901234567891")]);
}

/// A call says so however often it goes out, and whatever becomes of the mark in between.
pub async fn what_a_fetch_began_from_stays(ledger: &dyn Ledger) {
    run(ledger, &new_job("nightly"), &["5"]).await;
    let (scene, calls) = begun(ledger, &extending("nightly"), 3).await;
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| call.since == Some(value("5"))), "{calls:?}");
    run(ledger, &new_job("nightly"), &["6"]).await;
    ledger.reset_marks(&of_tenant(DEFAULT_TENANT)).await.expect("resets");
    let again = ledger.sweep(true, &scene.windows, NOW).await.expect("sweeps").calls;
    assert_eq!((again.len(), &again[0].0.since), (3, &Some(value("5"))));
    // A redelivered first plan changes nothing.
    let root = marked(fetch(scene.job, None, "roots", 0, vec![offsets(0, 3)]));
    assert!(scene.commit(&[scene.begin(vec![root])]).await.released.is_empty());
    // The page that follows begins from there too.
    let next = Plan { pages: vec![cursor("next", 3)], ..brings(ledger, &calls[0], "8").await };
    let followed = scene.commit(&[next]).await.released;
    assert_eq!(followed[0].since, Some(value("5")));
}

/// A job that is tried again moves it when all is there.
pub async fn a_fetch_that_is_not_whole_keeps_its_mark(ledger: &dyn Ledger) {
    run(ledger, &new_job("nightly"), &["5"]).await;
    let (scene, calls) = begun(ledger, &extending("nightly"), 2).await;
    let page = brings(ledger, &calls[0], "8").await;
    scene.commit(&[page, failed(&calls[1], false)]).await;
    assert_eq!((scene.state().await, values(ledger).await), (JobState::Failed, vec![step_and_value("roots", "5")]));
    assert_eq!(ledger.retry_failed(scene.job, &RetryFilter::default(), NOW).await.expect("reopens"), 1);
    let again = ledger.sweep(false, &scene.windows, NOW).await.expect("sweeps").calls.remove(0).0;
    assert_eq!(again.since, Some(value("5")));
    let page = brings(ledger, &again, "7").await;
    assert_eq!(scene.commit(&[page]).await.finished, [scene.job]);
    assert_eq!(values(ledger).await, [step_and_value("roots", "8")]);

    let (scene, calls) = begun(ledger, &extending("nightly"), 2).await;
    let page = brings(ledger, &calls[0], "9").await;
    scene.commit(&[page, failed(&calls[1], true)]).await;
    assert_eq!(scene.state().await, JobState::Succeeded);
    let (scene, calls) = begun(ledger, &extending("nightly"), 2).await;
    let page = brings(ledger, &calls[0], "9").await;
    scene.commit(&[page]).await;
    ledger.cancel(scene.job, "no more", NOW).await.expect("cancels");
    scene.commit(&[end(&calls[1], End::Cancelled)]).await;
    assert_eq!(scene.state().await, JobState::Cancelled);
    for guard in [FetchEnd::PageCap, FetchEnd::RepeatedPage, FetchEnd::TinyPages] {
        let (scene, calls) = begun(ledger, &extending("nightly"), 1).await;
        let page = Plan { fetch_end: Some(guard), ..brings(ledger, &calls[0], "9").await };
        scene.commit(&[page]).await;
        assert_eq!(scene.state().await, JobState::Succeeded);
    }
    assert_eq!(values(ledger).await, [step_and_value("roots", "8")]);
    let (scene, calls) = begun(ledger, &extending("nightly"), 1).await;
    let page = Plan { fetch_end: Some(FetchEnd::Seen), ..brings(ledger, &calls[0], "9").await };
    scene.commit(&[page]).await;
    assert_eq!(values(ledger).await, [step_and_value("roots", "9")]);
}

/// Past the end of a list whose pages are counted there is nothing; but what a page names should be there.
pub async fn a_list_that_was_cut_keeps_its_mark(ledger: &dyn Ledger) {
    let (scene, calls) = begun(ledger, &new_job("nightly"), 1).await;
    let page = Plan { pages: vec![cursor("gone", 1)], ..brings(ledger, &calls[0], "8").await };
    let next = scene.commit(&[page]).await.released;
    assert_eq!(scene.commit(&[skipped(&next[0])]).await.finished, [scene.job]);
    assert_eq!((scene.state().await, marks(ledger).await), (JobState::Succeeded, vec![]));
    let (scene, calls) = begun(ledger, &new_job("nightly"), 2).await;
    let page = brings(ledger, &calls[0], "8").await;
    scene.commit(&[page, skipped(&calls[1])]).await;
    assert_eq!(values(ledger).await, [step_and_value("roots", "8")]);
    // A page that was too large is asked for in parts.
    let (scene, calls) = begun(ledger, &new_job("nightly"), 2).await;
    let page = Plan { pages: vec![cursor("large", 1)], ..brings(ledger, &calls[0], "9").await };
    let large = scene.commit(&[page, skipped(&calls[1])]).await.released;
    let parts = Plan {
        pages: vec![cursor("part", 2)],
        ..end(&large[0], End::Skipped { failure: failure(Class::TooMuchData, None) })
    };
    let part = scene.commit(&[parts]).await.released;
    let page = brings(ledger, &part[0], "7").await;
    scene.commit(&[page]).await;
    assert_eq!(values(ledger).await, [step_and_value("roots", "9")]);
}

/// What failed for a new item would never be asked for again, were the item not new next time.
pub async fn what_failed_below_keeps_the_marks_above_it(ledger: &dyn Ledger) {
    for (tolerated, roots) in [(false, vec![]), (true, vec![step_and_value("roots", "8")])] {
        let (scene, calls) = begun(ledger, &new_job("nightly"), 1).await;
        let child = |n: i64| marked(fetch(scene.job, Some(calls[0].fetch), "children", n, vec![first()]));
        let page = Plan { fetches: vec![child(1), child(2)], ..brings(ledger, &calls[0], "8").await };
        let below = scene.commit(&[page]).await.released;
        let good = brings(ledger, &below[0], r#""2026-01-01T00:00:00Z""#).await;
        scene.commit(&[good, failed(&below[1], tolerated)]).await;
        let children = step_and_value("children", "2026-01-01T00:00:00Z");
        assert_eq!(values(ledger).await, [vec![children], roots].concat(), "tolerated: {tolerated}");
    }
}

/// Not by another tenant, nor by a job of another name.
pub async fn marks_are_shared_by_jobs_of_one_name_only(ledger: &dyn Ledger) {
    let of_others = NewJob { tenant: "other".into(), ..extending("nightly") };
    run(ledger, &extending("nightly"), &["5"]).await;
    assert_eq!(run(ledger, &extending("weekly"), &["6"]).await, None);
    assert_eq!(run(ledger, &of_others, &["7"]).await, None);
    assert_eq!(run(ledger, &extending("nightly"), &["5"]).await.as_deref(), Some("5"));
    assert_eq!(run(ledger, &extending("weekly"), &["5"]).await.as_deref(), Some("6"));
    let listed = ledger.marks(&of_tenant("other")).await.expect("reads");
    assert_eq!(listed.iter().map(|row| row.value.shown()).collect::<Vec<_>>(), ["7"]);
}

/// Page by page, by what they are of.
pub async fn marks_are_listed_and_forgotten(ledger: &dyn Ledger) {
    for name in ["a", "b"] {
        let scene = Scene::of(ledger, &new_job(name)).await;
        let roots = ["x", "y"].map(|step| [0, 1].map(|n| marked(fetch(scene.job, None, step, n, vec![first()]))));
        let calls = scene.commit(&[scene.begin(roots.concat())]).await.released;
        for call in &calls {
            let page = brings(ledger, call, "1").await;
            scene.commit(&[page]).await;
        }
    }
    let mut filter = MarkFilter { limit: 3, ..of_tenant(DEFAULT_TENANT) };
    let mut listed = Vec::new();
    loop {
        let page = ledger.marks(&filter).await.expect("reads");
        let Some(last) = page.last() else { break };
        filter.after = Some((last.job_name.clone(), last.id));
        listed.extend(page);
    }
    assert_eq!(listed, marks(ledger).await);
    assert_eq!(listed.len(), 8);
    assert!(listed.is_sorted_by_key(|row| (row.job_name.clone(), row.id)));
    let of = |job: Option<&str>, step: Option<&str>| MarkFilter {
        job_name: job.map(Into::into),
        step: step.map(Into::into),
        ..of_tenant(DEFAULT_TENANT)
    };
    assert_eq!(ledger.marks(&of(Some("a"), None)).await.expect("reads").len(), 4);
    assert_eq!(ledger.marks(&of(None, Some("x"))).await.expect("reads").len(), 4);
    assert_eq!(ledger.reset_marks(&of(Some("a"), Some("x"))).await.expect("resets"), 2);
    assert_eq!(ledger.reset_marks(&of(Some("a"), Some("x"))).await.expect("resets"), 0);
    assert_eq!(ledger.reset_marks(&MarkFilter { tenant: "other".into(), ..of(None, None) }).await.expect("resets"), 0);
    assert_eq!(ledger.reset_marks(&of(None, Some("y"))).await.expect("resets"), 4);
    assert_eq!(marks(ledger).await.iter().map(|row| row.job_name.as_str()).collect::<Vec<_>>(), ["b", "b"]);
}

/// Numbers on one page and texts on another have no highest value; a run that finds only other ones has a new one.
pub async fn a_mark_is_of_one_kind(ledger: &dyn Ledger) {
    run(ledger, &new_job("nightly"), &["5", r#""a""#]).await;
    assert_eq!(marks(ledger).await, []);
    run(ledger, &new_job("nightly"), &[r#""b""#]).await;
    run(ledger, &new_job("nightly"), &["5"]).await;
    assert_eq!(values(ledger).await, [step_and_value("roots", "5")]);
}

/// From the newest that takes all, oldest first.
pub async fn runs_are_listed_from_the_one_that_takes_all(ledger: &dyn Ledger) {
    let mut jobs = Vec::new();
    for extend in [true, false, true, true] {
        let new = NewJob { extend, ..new_job("nightly") };
        ledger.submit(&new, NOW).await.expect("submits");
        jobs.push(new.id);
    }
    let runs = ledger.runs("00ff").await.expect("reads");
    assert_eq!(runs.iter().map(|row| row.id).collect::<Vec<_>>(), jobs[1..]);
    assert_eq!(runs.iter().map(|row| row.extend).collect::<Vec<_>>(), [false, true, true]);
    let others = NewJob { fingerprint: "11".into(), ..extending("other") };
    ledger.submit(&others, NOW).await.expect("submits");
    assert_eq!(ledger.runs("11").await.expect("reads").len(), 1);
    assert!(ledger.runs("22").await.expect("reads").is_empty());
}

/// Whatever its pages hold.
pub async fn a_fetch_without_a_mark_moves_none(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 1)]).await;
    let page = brings(ledger, &calls[0], "9").await;
    assert_eq!(scene.commit(&[page]).await.finished, [scene.job]);
    assert_eq!((calls[0].since.clone(), marks(ledger).await), (None, vec![]));
}
