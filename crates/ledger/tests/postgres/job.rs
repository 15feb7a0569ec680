//! A job of many pages, and short words for what happens to it.

use tidegate_contracts::{
    Call, CallEnd, CallId, End, FetchId, Fingerprint, JobId, Lane, NewFetch, NewPages, PageFacts, PagePointer, Params,
    Plan, Wait, WaitReason,
};
use tidegate_ledger::{Bounds, DEFAULT_TENANT, Ledger, NewJob, NewPage, Packed, Windows};

/// When everything happens, Unix ms.
pub(crate) const NOW: i64 = 1_800_000_000_000;

pub(crate) fn windows(calls: u32) -> Windows {
    Windows { calls: [calls; 4], lease_ms: 60_000, ..Windows::default() }
}

pub(crate) fn new_job() -> NewJob {
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

/// A job that has begun with one fetch of `pages` pages, and its calls that are out.
pub(crate) async fn begin(ledger: &dyn Ledger, pages: u64, window: u32) -> (JobId, Vec<Call>) {
    let new = new_job();
    ledger.submit(&new, NOW).await.expect("submits");
    let begun = ledger.commit(&[first_plan(new.id, pages)], &windows(window), NOW).await.expect("begins");
    (new.id, begun.released)
}

pub(crate) fn first_plan(job: JobId, pages: u64) -> Plan {
    let fetch = NewFetch {
        fetch: fetch_of(job),
        parent: None,
        step: "roots".into(),
        params: Params::default(),
        pages: vec![NewPages::Numbers { from: 0, until: pages, size: 1, ordinal: 0 }],
        failure: None,
        tolerated: false,
        after: Vec::new(),
        mark: None,
    };
    Plan { fetches: vec![fetch], ..empty(job) }
}

pub(crate) fn fetch_of(job: JobId) -> FetchId {
    FetchId::derive(job, None, "roots", &Params::default())
}

fn empty(job: JobId) -> Plan {
    Plan::nothing(job)
}

/// The call succeeded with one item.
pub(crate) fn ok(call: &Call) -> Plan {
    end(call, End::Succeeded { items: 1 })
}

pub(crate) fn deferred(call: &Call, until_ms: i64) -> Plan {
    end(call, End::Deferred { wait: Wait { until_ms, reason: WaitReason::Limit("token".into()) } })
}

fn end(call: &Call, end: End) -> Plan {
    let ended = CallEnd { fetch: call.fetch, call: call.call, attempt: 0, requests: 1, end };
    Plan { ended: Some(ended), ..empty(call.job) }
}

/// The page of a call, which nobody knows the like of.
pub(crate) fn page(call: &Call) -> NewPage {
    let PagePointer::Number { page, .. } = call.pointer else { panic!("not one of ours: {call:?}") };
    page_number(call.job, page)
}

/// Page `n` of a job.
pub(crate) fn page_number(job: JobId, n: u64) -> NewPage {
    let fetch = fetch_of(job);
    let facts = PageFacts {
        items: 1,
        total: None,
        next: None,
        has_more: None,
        fingerprint: Fingerprint(n as i64),
        ..PageFacts::default()
    };
    let lines = Packed::pack(format!("{n}\n").as_bytes()).expect("packs");
    let call = CallId::derive(fetch, &PagePointer::Number { page: n, size: 1 });
    NewPage { call, fetch, job, step: "roots".into(), facts, top: None, lines }
}
