//! Jobs as they are submitted and read.

use tidegate_contracts::{CallId, FetchId, JobId, Lane, PagePointer, Params};

use super::scene::{NOW, Scene, new_job, offsets};
use crate::{
    FailedFilter, FetchFilter, JobCounts, JobFilter, JobState, Ledger, NewJob, OpenLane, RetryFilter, Submitted,
};

/// The first submission of an id stays.
pub async fn a_job_is_submitted_once(ledger: &dyn Ledger) {
    let new = NewJob { lane: Lane::Bulk, ..new_job("the first") };
    assert_eq!(ledger.submit(&new, NOW).await.expect("submits"), Submitted::New);
    let second = NewJob { id: new.id, ..new_job("the second") };
    assert_eq!(ledger.submit(&second, NOW + 1).await.expect("submits again"), Submitted::Same(new.id));
    let job = ledger.job(new.id).await.expect("reads").expect("is there");
    assert_eq!(job.tenant, new.tenant);
    assert_eq!((job.name.as_str(), job.provider.as_str(), job.lane), ("the first", "mastodon", Lane::Bulk));
    assert_eq!((job.state, job.submitted_at_ms), (JobState::Submitted, NOW));
    assert_eq!((job.started_at_ms, job.finished_at_ms, job.reason), (None, None, None));
    assert_eq!(job.counts, JobCounts::default());
    assert_eq!(ledger.spec(new.id).await.expect("reads").expect("is there").spec, new.spec);
    assert_eq!(ledger.jobs(&JobFilter::newest(10)).await.expect("reads").len(), 1);
}

/// Nothing is made up.
pub async fn what_is_unknown_is_none(ledger: &dyn Ledger) {
    let job = JobId::new();
    let fetch = FetchId::derive(job, None, "roots", &Params::default());
    let call = CallId::derive(fetch, &PagePointer::First);
    assert!(ledger.job(job).await.expect("reads").is_none());
    assert!(ledger.spec(job).await.expect("reads").is_none());
    assert!(ledger.job_like("00ff").await.expect("reads").is_none());
    assert!(ledger.jobs(&JobFilter::newest(10)).await.expect("reads").is_empty());
    assert!(ledger.page_facts(call).await.expect("reads").is_none());
    assert!(ledger.page_lines(job, call).await.expect("reads").is_none());
    assert!(ledger.pages_after(job, 0, 10).await.expect("reads").is_empty());
    assert!(ledger.failures(job, 10).await.expect("reads").is_empty());
    assert!(
        ledger
            .failed_calls(job, &FailedFilter { limit: 10, ..FailedFilter::default() })
            .await
            .expect("reads")
            .is_empty()
    );
    assert!(ledger.fetches(job, &FetchFilter { limit: 10, ..FetchFilter::default() }).await.expect("reads").is_empty());
    assert!(ledger.lanes_open().await.expect("reads").is_empty());
    assert_eq!(ledger.stopped(&[job]).await.expect("reads"), [job]);
    assert!(ledger.steps(job).await.expect("reads").is_empty());
    assert!(ledger.waiting(job, NOW).await.expect("reads").is_empty());
    assert_eq!(ledger.retry_failed(job, &RetryFilter::default(), NOW).await.expect("looks"), 0);
    ledger.cancel(job, "nobody", NOW).await.expect("is nothing to cancel");
    assert_eq!(ledger.audit().await.expect("counts"), Vec::<String>::new());
}

/// The list of jobs, and the newest of those with the same specification.
pub async fn jobs_come_newest_first(ledger: &dyn Ledger) {
    let [one, two, three] = ["one", "two", "three"].map(new_job);
    let other = NewJob { fingerprint: "other".into(), ..new_job("other") };
    for job in [&one, &two, &three, &other] {
        ledger.submit(job, NOW).await.expect("submits");
    }
    let names = async |limit| {
        let jobs = ledger.jobs(&JobFilter::newest(limit)).await.expect("reads");
        jobs.into_iter().map(|job| job.name).collect::<Vec<_>>()
    };
    assert_eq!(names(3).await, ["other", "three", "two"]);
    assert_eq!(names(10).await, ["other", "three", "two", "one"]);
    let like = ledger.job_like(&one.fingerprint).await.expect("reads").expect("is there");
    assert_eq!(like.id, three.id);
}

/// Each wish narrows the list; pages of it follow each other without gaps.
pub async fn jobs_are_found_by_what_they_are(ledger: &dyn Ledger) {
    let new = |name: &str, tenant: &str, provider: &str| NewJob {
        tenant: tenant.into(),
        provider: provider.into(),
        ..new_job(name)
    };
    let jobs = [
        new("one", "a", "mastodon"),
        new("two", "a", "github"),
        new("one", "b", "mastodon"),
        new("one", "a", "mastodon"),
        new("three", "a", "mastodon"),
    ];
    for job in &jobs {
        ledger.submit(job, NOW).await.expect("submits");
    }
    ledger.cancel(jobs[0].id, "not needed", NOW).await.expect("cancels");
    let found = async |filter: JobFilter| -> Vec<usize> {
        let rows = ledger.jobs(&filter).await.expect("reads");
        rows.iter().map(|row| jobs.iter().position(|job| job.id == row.id).expect("one of ours")).collect()
    };
    let all = JobFilter::newest(10);
    let of_a = JobFilter { tenant: Some("a".into()), ..all.clone() };
    assert_eq!(found(of_a.clone()).await, [4, 3, 1, 0]);
    assert_eq!(found(JobFilter { tenant: Some("A".into()), ..all.clone() }).await, [0; 0]);
    assert_eq!(found(JobFilter { states: vec![JobState::Cancelled], ..all.clone() }).await, [0]);
    let states = vec![JobState::Cancelled, JobState::Submitted];
    assert_eq!(found(JobFilter { states, ..all.clone() }).await, [4, 3, 2, 1, 0]);
    assert_eq!(found(JobFilter { provider: Some("github".into()), ..all.clone() }).await, [1]);
    assert_eq!(found(JobFilter { name: Some("one".into()), ..of_a.clone() }).await, [3, 0]);
    let search = |text: &str| JobFilter { search: Some(text.into()), ..of_a.clone() };
    assert_eq!(found(search("T")).await, [4, 1]);
    assert_eq!(found(search("nE")).await, [3, 0]);
    assert_eq!(found(search("%")).await, [0; 0], "no pattern");
    assert_eq!(found(JobFilter { before: Some(jobs[3].id), limit: 1, ..of_a.clone() }).await, [1]);
    assert_eq!(found(JobFilter { before: Some(jobs[1].id), limit: 9, ..of_a.clone() }).await, [0]);
    assert_eq!(found(JobFilter { before: Some(JobId::new()), ..of_a }).await, [0; 0]);
}

/// For executors, which take calls of each; what is finished is not among them.
pub async fn lanes_are_open_while_jobs_are(ledger: &dyn Ledger) {
    let new = |provider: &str, lane| NewJob { provider: provider.into(), lane, ..new_job("a job") };
    let jobs = [
        new("mastodon", Lane::Bulk),
        new("mastodon", Lane::Normal),
        new("mastodon", Lane::Bulk),
        new("github", Lane::Trickle),
    ];
    for job in &jobs {
        ledger.submit(job, NOW).await.expect("submits");
    }
    let open = async || ledger.lanes_open().await.expect("reads");
    let lane = |provider: &str, lane, jobs| OpenLane { jobs, ..OpenLane::empty(provider, lane) };
    let normal = lane("mastodon", Lane::Normal, 1);
    let all = [lane("github", Lane::Trickle, 1), normal.clone(), lane("mastodon", Lane::Bulk, 2)];
    assert_eq!(open().await, all);
    ledger.cancel(jobs[3].id, "not needed", NOW).await.expect("cancels");
    ledger.cancel(jobs[0].id, "not needed", NOW).await.expect("cancels");
    assert_eq!(open().await, [normal, lane("mastodon", Lane::Bulk, 1)]);
    assert!(ledger.pause(jobs[1].id, NOW).await.expect("pauses"));
    let normal = OpenLane { paused: 1, ..lane("mastodon", Lane::Normal, 0) };
    let paused = [normal, lane("mastodon", Lane::Bulk, 1)];
    assert_eq!(open().await, paused, "its calls come back to executors, and it shares with nobody");
    let (_, _, calls) = Scene::with_root(ledger, vec![offsets(0, 5)]).await;
    let begun = OpenLane { jobs: 1, calls_open: 5, calls_out: calls.len() as u64, ..paused[0].clone() };
    assert_eq!(open().await, [begun, paused[1].clone()]);
}

/// The last text kept under a name counts.
pub async fn small_texts_are_kept_by_name(ledger: &dyn Ledger) {
    assert_eq!(ledger.kept("limits").await.expect("reads"), None);
    for (name, value) in [("limits", "{}"), ("other", "1"), ("limits", "{\"a\":\"\u{e4}\"}")] {
        ledger.keep(name, value, NOW).await.expect("keeps");
    }
    assert_eq!(ledger.kept("limits").await.expect("reads").as_deref(), Some("{\"a\":\"\u{e4}\"}"));
    assert_eq!(ledger.kept("other").await.expect("reads").as_deref(), Some("1"));
}

/// A stop is known at once, before the calls that are out have come back.
pub async fn stopped_jobs_are_known(ledger: &dyn Ledger) {
    let (runs, stops) = (new_job("runs"), new_job("stops"));
    for job in [&runs, &stops] {
        ledger.submit(job, NOW).await.expect("submits");
    }
    assert!(!ledger.spec(stops.id).await.expect("reads").expect("is there").stopped);
    assert!(ledger.stopped(&[runs.id, stops.id]).await.expect("reads").is_empty());
    ledger.cancel(stops.id, "no longer wanted", NOW).await.expect("cancels");
    assert_eq!(ledger.stopped(&[runs.id, stops.id]).await.expect("reads"), [stops.id]);
    let read = ledger.spec(stops.id).await.expect("reads").expect("is there");
    assert_eq!((read.stopped, read.tenant), (true, stops.tenant));
}
