//! What the API shows of jobs.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_contracts::Lane;
use tidegate_ledger::{FailedCall, FailureGroup, FetchRow, JobCounts, JobRow, MarkRow, NoticeRow, StepRow, Waiting};
use tidegate_progress::Estimate;

use crate::economy::Economy;

/// A job.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Job {
    /// Its id.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// Name of its provider.
    pub(crate) provider: String,
    /// How urgent it is.
    pub(crate) lane: Lane,
    /// The lane that it asked for, where it was moved to `bulk` because so many of its calls are open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lane_asked: Option<Lane>,
    /// `submitted`, `running`, `succeeded`, `failed` or `cancelled`; the last three are final.
    pub(crate) state: &'static str,
    /// It takes only what is new since the last job of its name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) extend: bool,
    /// Why it failed or was stopped.
    pub(crate) reason: Option<String>,
    /// Unix ms.
    pub(crate) submitted_at_ms: i64,
    /// Unix ms.
    pub(crate) started_at_ms: Option<i64>,
    /// Unix ms.
    pub(crate) finished_at_ms: Option<i64>,
    /// Since when it is paused, Unix ms: no new call of it goes out until it is resumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) paused_at_ms: Option<i64>,
    /// The credential that it waits for: its calls go on when that is renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parked: Option<Parked>,
    /// Since when its pages and tree are deleted, Unix ms; its counters stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pruned_at_ms: Option<i64>,
    /// How much there is to do, and how much is done.
    pub(crate) counts: Counts,
}

/// A credential that its provider takes no more: no call is made with it until it is renewed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Parked {
    /// Its name.
    pub(crate) credential: String,
    /// Who takes it no more.
    pub(crate) provider: String,
    /// `auth_expired` or `auth_revoked`.
    pub(crate) class: String,
    /// What the provider said.
    pub(crate) message: String,
    /// Since when, Unix ms.
    pub(crate) since_ms: i64,
}

impl From<tidegate_contracts::Parked> for Parked {
    fn from(parked: tidegate_contracts::Parked) -> Self {
        let tidegate_contracts::Parked { credential, provider, class, message, since_ms } = parked;
        Self { credential, provider, class: class.to_string(), message, since_ms }
    }
}

/// Counters of a job; `calls_planned` is always the sum of open, succeeded, skipped, failed and cancelled.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Counts {
    /// Calls planned so far; more may follow while the job runs.
    pub(crate) calls_planned: u64,
    /// Calls that have not ended.
    pub(crate) calls_open: u64,
    /// Open calls that are on their way or wait for a limit.
    pub(crate) calls_released: u64,
    /// Open calls that wait for other fetches to finish (`after`).
    pub(crate) calls_held: u64,
    /// Calls whose page is stored.
    pub(crate) calls_succeeded: u64,
    /// Calls for what is not there.
    pub(crate) calls_skipped: u64,
    /// Calls that failed for good.
    pub(crate) calls_failed: u64,
    /// Failed calls that the job tolerates.
    pub(crate) calls_tolerated: u64,
    /// Calls given up by a stop.
    pub(crate) calls_cancelled: u64,
    /// Fetches planned so far.
    pub(crate) fetches_planned: u64,
    /// Fetches that are not finished.
    pub(crate) fetches_open: u64,
    /// Items stored.
    pub(crate) items: u64,
    /// Requests sent, repeated and refused ones included.
    pub(crate) requests: u64,
}

impl From<JobCounts> for Counts {
    fn from(counts: JobCounts) -> Self {
        Self {
            calls_planned: counts.calls_planned,
            calls_open: counts.calls_open,
            calls_released: counts.calls_released,
            calls_held: counts.calls_held,
            calls_succeeded: counts.calls_succeeded,
            calls_skipped: counts.calls_skipped,
            calls_failed: counts.calls_failed,
            calls_tolerated: counts.calls_tolerated,
            calls_cancelled: counts.calls_cancelled,
            fetches_planned: counts.fetches_planned,
            fetches_open: counts.fetches_open,
            items: counts.items,
            requests: counts.requests,
        }
    }
}

impl From<JobRow> for Job {
    fn from(row: JobRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            provider: row.provider,
            lane: row.lane,
            lane_asked: row.lane_asked,
            state: row.state.name(),
            extend: row.extend,
            reason: row.reason,
            submitted_at_ms: row.submitted_at_ms,
            started_at_ms: row.started_at_ms,
            finished_at_ms: row.finished_at_ms,
            paused_at_ms: row.paused_at_ms,
            parked: row.parked.map(Parked::from),
            pruned_at_ms: row.pruned_at_ms,
            counts: row.counts.into(),
        }
    }
}

/// A job with its steps, what it waits for, and what failed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct JobDetail {
    /// The job.
    #[serde(flatten)]
    pub(crate) job: Job,
    /// How far it is, and when it will be done.
    pub(crate) progress: Estimate,
    /// Counters by step.
    pub(crate) steps: Vec<Step>,
    /// Calls against the fewest that could do, by step; none of a job that this build can't read.
    pub(crate) economy: Vec<Economy>,
    /// What its calls wait for, the most first.
    pub(crate) waiting: Vec<Wait>,
    /// Failed and skipped calls, those that look alike together.
    pub(crate) failures: Vec<Failure>,
    /// Webhooks that tell of it, as its file asks for under `notify`.
    pub(crate) notifications: Vec<Notification>,
}

/// A webhook that tells of a job.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Notification {
    /// What happened: `succeeded`, `failed`, `cancelled` or `credential_parked`.
    pub(crate) event: &'static str,
    /// When it did, Unix ms.
    pub(crate) at_ms: i64,
    /// `waiting`, `delivered` or `given_up`.
    pub(crate) state: String,
    /// Attempts so far.
    pub(crate) attempts: u32,
    /// When the next attempt is made, Unix ms.
    pub(crate) next_at_ms: Option<i64>,
    /// When it was delivered or given up, Unix ms.
    pub(crate) ended_at_ms: Option<i64>,
    /// What came of the last attempt: a status, or why there was none.
    pub(crate) last: Option<String>,
}

impl From<NoticeRow> for Notification {
    fn from(row: NoticeRow) -> Self {
        let NoticeRow { event, at_ms, state, attempts, next_at_ms, ended_at_ms, last } = row;
        Self { event: event.name(), at_ms, state, attempts, next_at_ms, ended_at_ms, last }
    }
}

/// Counters of one step.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Step {
    /// Its id.
    pub(crate) step: String,
    /// Fetches planned.
    pub(crate) fetches: u64,
    /// Fetches finished.
    pub(crate) fetches_done: u64,
    /// Calls planned.
    pub(crate) calls_planned: u64,
    /// Calls that have not ended.
    pub(crate) calls_open: u64,
    /// Calls that failed.
    pub(crate) calls_failed: u64,
    /// Calls for what is not there.
    pub(crate) calls_skipped: u64,
    /// Items stored.
    pub(crate) items: u64,
    /// Fetches that were not made, because the step's `when` did not hold.
    pub(crate) left_out: u64,
    /// Fetches that a guard ended before their list was known to be whole, by guard.
    pub(crate) guards: Vec<Guard>,
}

/// Fetches that one guard ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Guard {
    /// `repeated_pointer`, `repeated_page`, `page_cap`, `tiny_pages` or `depth_cap`.
    pub(crate) guard: String,
    /// How many.
    pub(crate) fetches: u64,
}

impl From<StepRow> for Step {
    fn from(row: StepRow) -> Self {
        Self {
            step: row.step,
            fetches: row.fetches,
            fetches_done: row.fetches_done,
            calls_planned: row.calls_planned,
            calls_open: row.calls_open,
            calls_failed: row.calls_failed,
            calls_skipped: row.calls_skipped,
            items: row.items,
            left_out: row.left_out,
            guards: row.guards.into_iter().map(|(guard, fetches)| Guard { guard, fetches }).collect(),
        }
    }
}

/// Calls that wait for the same thing.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Wait {
    /// In words: `limit token`, `back-off after timeout`, or `limit token, which is paused: …`.
    pub(crate) reason: String,
    /// How many calls.
    pub(crate) calls: u64,
    /// When the first of them goes on, Unix ms.
    pub(crate) until_ms: i64,
    /// When the last of them goes on, Unix ms.
    pub(crate) last_until_ms: i64,
}

impl From<Waiting> for Wait {
    fn from(waiting: Waiting) -> Self {
        let reason = waiting.reason.to_string();
        Self { reason, calls: waiting.calls, until_ms: waiting.until_ms, last_until_ms: waiting.last_until_ms }
    }
}

/// Failed or skipped calls that look alike, or that were not made because of what they come after.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Failure {
    /// Step.
    pub(crate) step: String,
    /// `failed`, `skipped`, or `cancelled`: not made.
    pub(crate) state: String,
    /// Failure class; `cancelled` where it was not made.
    pub(crate) class: String,
    /// HTTP status of the answer.
    pub(crate) status: Option<u16>,
    /// What was said.
    pub(crate) message: String,
    /// How many calls.
    pub(crate) calls: u64,
    /// Parameters of one of them.
    #[schemars(with = "serde_json::Value")]
    pub(crate) example: Box<RawValue>,
}

impl From<FailureGroup> for Failure {
    fn from(group: FailureGroup) -> Self {
        let FailureGroup { step, state, class, status, message, calls, example } = group;
        Self { step, state, class, status, message, calls, example: raw(example) }
    }
}

/// A page of jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct JobList {
    /// Newest first.
    pub(crate) jobs: Vec<Job>,
    /// `after` of the next page; null at the end.
    pub(crate) next: Option<String>,
}

/// A job that was taken.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Submitted {
    /// Its id.
    pub(crate) id: String,
    /// Its address.
    pub(crate) location: String,
}

/// How a job stands, in a stream of events.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Event {
    /// The job.
    #[serde(flatten)]
    pub(crate) job: Job,
    /// How far it is, and when it will be done.
    pub(crate) progress: Estimate,
    /// What its calls wait for, the most first.
    pub(crate) waiting: Vec<Wait>,
}

/// A page of fetches.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FetchList {
    /// In the order of planning.
    pub(crate) fetches: Vec<Fetch>,
    /// `after` of the next page; null at the end.
    pub(crate) next: Option<String>,
}

/// A node of a job's tree: one endpoint with one set of parameters, all of its pages.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Fetch {
    /// Its id: `parent` of those below it.
    pub(crate) id: String,
    /// The fetch it is below.
    pub(crate) parent: Option<String>,
    /// Step.
    pub(crate) step: String,
    /// Parameters of the endpoint.
    #[schemars(with = "serde_json::Value")]
    pub(crate) params: Box<RawValue>,
    /// Items in the whole list, as its pages told.
    pub(crate) total: Option<u64>,
    /// What ended its paging.
    pub(crate) fetch_end: Option<String>,
    /// Calls planned so far.
    pub(crate) calls_planned: u64,
    /// Calls that have not ended.
    pub(crate) calls_open: u64,
    /// Calls whose page is stored.
    pub(crate) calls_succeeded: u64,
    /// Calls for what is not there.
    pub(crate) calls_skipped: u64,
    /// Calls that failed for good.
    pub(crate) calls_failed: u64,
    /// Calls given up by a stop.
    pub(crate) calls_cancelled: u64,
    /// Fetches below it that are not finished.
    pub(crate) children_open: u64,
    /// Fetches it waits for (`after`) that are not finished.
    pub(crate) blockers_open: u64,
    /// Items stored.
    pub(crate) items: u64,
    /// Unix ms.
    pub(crate) created_at_ms: i64,
    /// Unix ms.
    pub(crate) finished_at_ms: Option<i64>,
}

impl From<FetchRow> for Fetch {
    fn from(row: FetchRow) -> Self {
        Self {
            id: row.id.to_string(),
            parent: row.parent.map(|parent| parent.to_string()),
            step: row.step,
            params: raw(row.params),
            total: row.total,
            fetch_end: row.fetch_end,
            calls_planned: row.calls_planned,
            calls_open: row.calls_open,
            calls_succeeded: row.calls_succeeded,
            calls_skipped: row.calls_skipped,
            calls_failed: row.calls_failed,
            calls_cancelled: row.calls_cancelled,
            children_open: row.children_open,
            blockers_open: row.blockers_open,
            items: row.items,
            created_at_ms: row.created_at_ms,
            finished_at_ms: row.finished_at_ms,
        }
    }
}

/// A page of marks.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MarkList {
    /// In order of the jobs' names.
    pub(crate) marks: Vec<Mark>,
    /// `after` of the next page; null at the end.
    pub(crate) next: Option<String>,
}

/// How far jobs of a name have seen what one fetch asks for.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Mark {
    /// Name of the jobs.
    pub(crate) job: String,
    /// Their step.
    pub(crate) step: String,
    /// Parameters of the fetch.
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    pub(crate) params: Box<RawValue>,
    /// The highest value that was seen; what is above it is new.
    pub(crate) value: String,
    /// How values compare: `number`, `time` or `text`.
    pub(crate) kind: &'static str,
    /// Id of the job that has seen it.
    pub(crate) seen_by: String,
    /// When that job had finished, Unix ms.
    pub(crate) moved_at_ms: i64,
}

impl From<MarkRow> for Mark {
    fn from(row: MarkRow) -> Self {
        Self {
            job: row.job_name,
            step: row.step,
            // What is stored was written as JSON.
            params: RawValue::from_string(row.params).unwrap_or_default(),
            value: row.value.shown(),
            kind: row.value.kind().name(),
            seen_by: row.job.to_string(),
            moved_at_ms: row.moved_at_ms,
        }
    }
}

/// A page of failed and skipped calls.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FailedCallList {
    /// In the order of planning.
    pub(crate) calls: Vec<Failed>,
    /// `after` of the next page; null at the end.
    pub(crate) next: Option<String>,
}

/// A call that failed or was skipped.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Failed {
    /// Its id.
    pub(crate) id: String,
    /// Its fetch.
    pub(crate) fetch: String,
    /// Step.
    pub(crate) step: String,
    /// Parameters of its fetch.
    #[schemars(with = "serde_json::Value")]
    pub(crate) params: Box<RawValue>,
    /// Which page, in words.
    pub(crate) page: String,
    /// `failed` or `skipped`.
    pub(crate) state: String,
    /// Failure class.
    pub(crate) class: String,
    /// HTTP status of the answer.
    pub(crate) status: Option<u16>,
    /// What was said.
    pub(crate) message: String,
    /// Attempts spent.
    pub(crate) attempt: u32,
}

impl From<FailedCall> for Failed {
    fn from(call: FailedCall) -> Self {
        Self {
            id: call.call.to_string(),
            fetch: call.fetch.to_string(),
            step: call.step,
            params: raw(call.params),
            // Not the pointer itself: a cursor or an address may carry what should not be shown.
            page: call.pointer.to_string(),
            state: call.state,
            class: call.class,
            status: call.status,
            message: call.message,
            attempt: call.attempt,
        }
    }
}

/// Whether the gateway is ready.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Ready {
    /// Every check is up.
    pub(crate) ready: bool,
    /// The checks.
    pub(crate) checks: Vec<Check>,
}

/// A check.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Check {
    /// Of what.
    pub(crate) name: &'static str,
    /// All is well.
    pub(crate) up: bool,
    /// What is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// How long it took to find out.
    pub(crate) ms: u64,
}

/// JSON as the ledger has it. What is none, which a ledger rules out, is shown as null.
pub(crate) fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
