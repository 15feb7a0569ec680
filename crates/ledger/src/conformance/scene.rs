//! One job in a ledger, and short words for what happens to it.

use tidegate_contracts::{
    Call, CallEnd, Class, End, Failure, FetchId, Fingerprint, JobId, Lane, NewFetch, NewPages, PageFacts, PagePointer,
    Params, Plan, Wait, WaitReason,
};

use crate::{Bounds, Committed, DEFAULT_TENANT, JobCounts, JobRow, JobState, Ledger, NewJob, NewPage, Packed, Windows};

/// When everything happens, Unix ms.
pub(super) const NOW: i64 = 1_800_000_000_000;
/// Of released calls, in ms.
pub(super) const LEASE: i64 = 60_000;
/// Items on a page, unless a check says otherwise.
pub(super) const ITEMS: u32 = 3;

/// A submitted job.
pub(super) struct Scene<'a> {
    pub(super) ledger: &'a dyn Ledger,
    pub(super) job: JobId,
    pub(super) windows: Windows,
}

impl<'a> Scene<'a> {
    /// A job whose window has room for `window` calls.
    pub(super) async fn new(ledger: &'a dyn Ledger, window: u32) -> Self {
        let scene = Self::of(ledger, &new_job("a job")).await;
        Self { windows: Windows { calls: [window; 4], lease_ms: LEASE, ..Windows::default() }, ..scene }
    }

    /// This job, whose window has room for 100 calls.
    pub(super) async fn of(ledger: &'a dyn Ledger, new: &NewJob) -> Self {
        ledger.submit(new, NOW).await.expect("submits");
        Self { ledger, job: new.id, windows: Windows { calls: [100; 4], lease_ms: LEASE, ..Windows::default() } }
    }

    /// A job that has begun with one fetch of these pages; its fetch and the calls that are out.
    pub(super) async fn with_root(ledger: &'a dyn Ledger, pages: Vec<NewPages>) -> (Self, FetchId, Vec<Call>) {
        let scene = Self::new(ledger, 100).await;
        let root = scene.root(pages);
        let fetch = root.fetch;
        let begun = scene.commit(&[scene.begin(vec![root])]).await;
        (scene, fetch, begun.released)
    }

    pub(super) fn root(&self, pages: Vec<NewPages>) -> NewFetch {
        fetch(self.job, None, "roots", 0, pages)
    }

    pub(super) fn begin(&self, fetches: Vec<NewFetch>) -> Plan {
        Plan { fetches, ..empty(self.job) }
    }

    /// Commits after storing the pages that executors have stored by then; the account must balance after it.
    pub(super) async fn commit(&self, plans: &[Plan]) -> Committed {
        self.commit_at(plans, NOW).await
    }

    pub(super) async fn commit_at(&self, plans: &[Plan], now_ms: i64) -> Committed {
        put_pages_of(self.ledger, plans).await;
        let committed = self.ledger.commit(plans, &self.windows, now_ms).await.expect("commits");
        // As a tracker does.
        if let Some(receipt) = committed.receipt {
            self.ledger.published(receipt).await.expect("notes");
        }
        self.balances().await;
        committed
    }

    pub(super) async fn balances(&self) {
        assert_eq!(self.ledger.audit().await.expect("counts"), Vec::<String>::new());
    }

    /// Ends these calls and all that follow them well. Returns how many ended, and how often the job finished.
    pub(super) async fn run(&self, mut open: Vec<Call>) -> (usize, usize) {
        let (mut ended, mut finished) = (0, 0);
        while !open.is_empty() {
            let plans: Vec<Plan> = open.iter().map(ok).collect();
            ended += plans.len();
            let committed = self.commit(&plans).await;
            finished += committed.finished.len();
            open = committed.released;
        }
        (ended, finished)
    }

    /// Sweeps as often as it takes, and ends well all that comes of it. Returns as [`Scene::run`].
    pub(super) async fn sweep_and_run(&self) -> (usize, usize) {
        let swept = self.ledger.sweep(false, &self.windows, NOW).await.expect("sweeps");
        self.balances().await;
        self.run(swept.calls.into_iter().map(|(call, _)| call).collect()).await
    }

    pub(super) async fn row(&self) -> JobRow {
        self.ledger.job(self.job).await.expect("reads").expect("is there")
    }

    pub(super) async fn counts(&self) -> JobCounts {
        self.row().await.counts
    }

    pub(super) async fn state(&self) -> JobState {
        self.row().await.state
    }
}

/// A job nobody has seen.
pub(super) fn new_job(name: &str) -> NewJob {
    NewJob {
        id: JobId::new(),
        tenant: DEFAULT_TENANT.into(),
        name: name.into(),
        fingerprint: "00ff".into(),
        spec: r#"{"steps":[]}"#.into(),
        provider: "mastodon".into(),
        lane: Lane::Normal,
        idempotency: None,
        bounds: Bounds::default(),
        extend: false,
    }
}

/// The `n`-th fetch of a step below `parent`.
pub(super) fn fetch(job: JobId, parent: Option<FetchId>, step: &str, n: i64, pages: Vec<NewPages>) -> NewFetch {
    let params: Params = [("n", n)].into_iter().collect();
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

/// The same fetch, which can't begin.
pub(super) fn unbegun(fetch: NewFetch, tolerated: bool) -> NewFetch {
    NewFetch { pages: Vec::new(), failure: Some(failure(Class::Invalid, None)), tolerated, ..fetch }
}

pub(super) fn first() -> NewPages {
    NewPages::One { pointer: PagePointer::First, ordinal: 0 }
}

pub(super) fn cursor(cursor: &str, ordinal: u32) -> NewPages {
    NewPages::One { pointer: PagePointer::Cursor { cursor: cursor.into() }, ordinal }
}

/// Pages `from` to `until` of ten items, by offset.
pub(super) fn offsets(from: u64, until: u64) -> NewPages {
    NewPages::Offsets { from: from * 10, until: until * 10, size: 10, ordinal: u32::try_from(from).expect("small") }
}

pub(super) fn empty(job: JobId) -> Plan {
    Plan::nothing(job)
}

/// The call ended so, by one request more than it was released with.
pub(super) fn end(call: &Call, end: End) -> Plan {
    let (attempt, requests) = (call.attempt, call.requests + 1);
    Plan { ended: Some(CallEnd { fetch: call.fetch, call: call.call, attempt, requests, end }), ..empty(call.job) }
}

pub(super) fn ok(call: &Call) -> Plan {
    end(call, End::Succeeded { items: ITEMS })
}

pub(super) fn skipped(call: &Call) -> Plan {
    end(call, End::Skipped { failure: failure(Class::NotFound, Some(404)) })
}

pub(super) fn failed(call: &Call, tolerated: bool) -> Plan {
    end(call, End::Failed { failure: failure(Class::Invalid, Some(422)), tolerated })
}

/// The call waits for a limit until then; `requests` were sent for it.
pub(super) fn deferred(call: &Call, until_ms: i64, requests: u32) -> Plan {
    let wait = Wait { until_ms, reason: WaitReason::Limit("token".into()) };
    let mut plan = end(call, End::Deferred { wait });
    if let Some(ended) = &mut plan.ended {
        ended.requests = requests;
    }
    plan
}

pub(super) fn failure(class: Class, status: Option<u16>) -> Failure {
    Failure { class, status, message: format!("it is {class}") }
}

/// Stores the pages of these plans' calls, as executors do before anybody plans.
pub(super) async fn put_pages_of(ledger: &dyn Ledger, plans: &[Plan]) {
    let pages: Vec<NewPage> = plans.iter().filter_map(page_of).collect();
    ledger.put_pages(&pages, NOW).await.expect("stores");
}

fn page_of(plan: &Plan) -> Option<NewPage> {
    let ended = plan.ended.as_ref()?;
    let End::Succeeded { items } = ended.end else { return None };
    let (bytes, _) = ended.call.as_bytes().split_first_chunk::<8>().expect("16 bytes");
    let fingerprint = Fingerprint(i64::from_be_bytes(*bytes));
    let facts = PageFacts { items, total: None, next: None, has_more: None, fingerprint, ..PageFacts::default() };
    let lines = Packed::pack(&b"{}\n".repeat(items as usize)).expect("packs");
    Some(NewPage { call: ended.call, fetch: ended.fetch, job: plan.job, step: "any".into(), facts, top: None, lines })
}
