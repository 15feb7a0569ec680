//! Jobs as they are submitted and read.

use tidegate_contracts::{CallId, FetchId, JobId, Lane, PagePointer, Params};

use super::scene::{NOW, new_job};
use crate::{JobCounts, JobState, Ledger, NewJob};

/// The first submission of an id stays.
pub async fn a_job_is_submitted_once(ledger: &dyn Ledger) {
    let new = NewJob { lane: Lane::Bulk, ..new_job("the first") };
    ledger.submit(&new, NOW).await.expect("submits");
    ledger.submit(&NewJob { id: new.id, ..new_job("the second") }, NOW + 1).await.expect("submits again");
    let job = ledger.job(new.id).await.expect("reads").expect("is there");
    assert_eq!((job.name.as_str(), job.provider.as_str(), job.lane), ("the first", "mastodon", Lane::Bulk));
    assert_eq!((job.state, job.submitted_at_ms), (JobState::Submitted, NOW));
    assert_eq!((job.started_at_ms, job.finished_at_ms, job.reason), (None, None, None));
    assert_eq!(job.counts, JobCounts::default());
    assert_eq!(ledger.spec(new.id).await.expect("reads"), Some(new.spec));
    assert_eq!(ledger.jobs(10).await.expect("reads").len(), 1);
}

/// Nothing is made up.
pub async fn what_is_unknown_is_none(ledger: &dyn Ledger) {
    let job = JobId::new();
    let fetch = FetchId::derive(job, None, "roots", &Params::default());
    let call = CallId::derive(fetch, &PagePointer::First);
    assert!(ledger.job(job).await.expect("reads").is_none());
    assert!(ledger.spec(job).await.expect("reads").is_none());
    assert!(ledger.job_like("00ff").await.expect("reads").is_none());
    assert!(ledger.jobs(10).await.expect("reads").is_empty());
    assert!(ledger.page_facts(call).await.expect("reads").is_none());
    assert!(ledger.page_lines(call).await.expect("reads").is_none());
    assert!(ledger.pages_after(job, 0, 10).await.expect("reads").is_empty());
    assert!(ledger.failures(job, 10).await.expect("reads").is_empty());
    assert!(ledger.steps(job).await.expect("reads").is_empty());
    assert!(ledger.waiting(job, NOW).await.expect("reads").is_empty());
    assert_eq!(ledger.retry_failed(job, NOW).await.expect("looks"), 0);
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
        let jobs = ledger.jobs(limit).await.expect("reads");
        jobs.into_iter().map(|job| job.name).collect::<Vec<_>>()
    };
    assert_eq!(names(3).await, ["other", "three", "two"]);
    assert_eq!(names(10).await, ["other", "three", "two", "one"]);
    let like = ledger.job_like(&one.fingerprint).await.expect("reads").expect("is there");
    assert_eq!(like.id, three.id);
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
