//! Jobs as the ledger shows them.

use serde::Serialize;
use tidegate_contracts::{CallId, FetchId, JobId, Lane, PagePointer, Parked, WaitReason};

use crate::LedgerError;

/// Where a job stands. `docs/states.md` has the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Stored, not planned yet.
    Submitted,
    /// Has open calls.
    Running,
    /// Done; every call succeeded, was skipped, or failed where the job tolerates it.
    Succeeded,
    /// Done; at least one call failed.
    Failed,
    /// Stopped by its owner.
    Cancelled,
}

impl JobState {
    /// Nothing more will happen by itself.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The name as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Submitted, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// A job's counters. `planned = open + succeeded + skipped + failed + cancelled`, always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct JobCounts {
    /// Calls planned so far.
    pub calls_planned: u64,
    /// Calls that have not ended.
    pub calls_open: u64,
    /// Open calls that are out with an executor or parked.
    pub calls_released: u64,
    /// Open calls that are planned, and wait for another fetch to finish (`after`).
    pub calls_held: u64,
    /// Calls whose page is stored.
    pub calls_succeeded: u64,
    /// Calls for what is not there.
    pub calls_skipped: u64,
    /// Calls that failed for good.
    pub calls_failed: u64,
    /// Failed calls that the job tolerates (`on_failure: continue`).
    pub calls_tolerated: u64,
    /// Calls given up by a stop.
    pub calls_cancelled: u64,
    /// Fetches planned so far.
    pub fetches_planned: u64,
    /// Fetches that have an open call or child.
    pub fetches_open: u64,
    /// Items on stored pages of ended calls.
    pub items: u64,
    /// Requests sent for its calls, repeated and refused ones included, as far as plans have told.
    pub requests: u64,
}

impl JobCounts {
    /// The account balances.
    #[must_use]
    pub fn balances(&self) -> bool {
        let ended = self.calls_succeeded + self.calls_skipped + self.calls_failed + self.calls_cancelled;
        self.calls_planned == self.calls_open + ended
    }
}

/// A job.
#[derive(Debug, Clone, Serialize)]
pub struct JobRow {
    /// Its id.
    pub id: JobId,
    /// Whose it is.
    pub tenant: String,
    /// For people.
    pub name: String,
    /// Provider's name.
    pub provider: String,
    /// Lane in which its calls go out.
    pub lane: Lane,
    /// The lane that it asked for, where it was moved because so many of its calls are open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane_asked: Option<Lane>,
    /// Where it stands.
    pub state: JobState,
    /// It takes only what is new.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub extend: bool,
    /// Why it failed or was stopped.
    pub reason: Option<String>,
    /// Unix ms.
    pub submitted_at_ms: i64,
    /// Unix ms.
    pub started_at_ms: Option<i64>,
    /// Unix ms.
    pub finished_at_ms: Option<i64>,
    /// Since when no new call of it may go out, until it is resumed, Unix ms. Never of a finished job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_at_ms: Option<i64>,
    /// The credential that its calls wait for. Never of a finished job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parked: Option<Parked>,
    /// Since when its pages and tree are being deleted, or are gone, Unix ms. Its counters stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pruned_at_ms: Option<i64>,
    /// Counters.
    #[serde(flatten)]
    pub counts: JobCounts,
}

/// Which jobs.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Of this tenant only.
    pub tenant: Option<String>,
    /// In one of these states; empty: in any.
    pub states: Vec<JobState>,
    /// Of this provider only.
    pub provider: Option<String>,
    /// Of exactly this name.
    pub name: Option<String>,
    /// Whose name has this in it; of a to z, in capitals or not. Reads all that the rest leaves.
    pub search: Option<String>,
    /// Those older than this one: the last of the page before. Older than one that is unknown is nothing.
    pub before: Option<JobId>,
    /// At most so many.
    pub limit: u32,
}

impl JobFilter {
    /// The newest jobs, at most `limit`, whatever they are.
    #[must_use]
    pub fn newest(limit: u32) -> Self {
        Self { limit, ..Self::default() }
    }
}

/// A job's specification, for those who make its calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecRow {
    /// Job and provider, JSON, as submitted.
    pub spec: String,
    /// Whose it is.
    pub tenant: String,
    /// No new call of it may go out, as of now, nor later unless it is tried again.
    pub stopped: bool,
    /// No new call of it may go out until it is resumed, or its credential renewed.
    pub paused: bool,
}

/// Failed or skipped calls that look alike, or that were not made because of what they come after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailureGroup {
    /// Step.
    pub step: String,
    /// `failed`, `skipped` or `cancelled`.
    pub state: String,
    /// Failure class; `cancelled` where it was not made.
    pub class: String,
    /// HTTP status.
    pub status: Option<u16>,
    /// Message.
    pub message: String,
    /// How many calls.
    pub calls: u64,
    /// One of them: its parameters (JSON).
    pub example: String,
}

/// Counters of one step, over all of its fetches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepRow {
    /// Step.
    pub step: String,
    /// Fetches planned.
    pub fetches: u64,
    /// Fetches finished.
    pub fetches_done: u64,
    /// Fetches without an open call; something below them may be open.
    pub fetches_paged: u64,
    /// Calls planned.
    pub calls_planned: u64,
    /// Calls open.
    pub calls_open: u64,
    /// Calls failed.
    pub calls_failed: u64,
    /// Calls skipped.
    pub calls_skipped: u64,
    /// Calls of fetches without an open call.
    pub calls_paged: u64,
    /// Items stored.
    pub items: u64,
    /// Fetches that were not made, because the step's `when` did not hold; of an item met twice, each time.
    pub left_out: u64,
    /// Fetches that a guard stopped, by guard.
    pub guards: Vec<(String, u64)>,
}

impl StepRow {
    /// A step of which nothing was made.
    pub(crate) fn of_none(step: String, left_out: u64) -> Self {
        let (fetches, fetches_done, fetches_paged, calls_planned, calls_open) = (0, 0, 0, 0, 0);
        let (calls_failed, calls_skipped, calls_paged, items, guards) = (0, 0, 0, 0, Vec::new());
        Self {
            step,
            fetches,
            fetches_done,
            fetches_paged,
            calls_planned,
            calls_open,
            calls_failed,
            calls_skipped,
            calls_paged,
            items,
            left_out,
            guards,
        }
    }
}

/// Parked calls that wait for the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// For what.
    pub reason: WaitReason,
    /// How many calls.
    pub calls: u64,
    /// When the first of them is due, Unix ms.
    pub until_ms: i64,
    /// When the last of them is due, Unix ms.
    pub last_until_ms: i64,
}

/// Calls of a job that are out, and wait for the same thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutGroup {
    /// For what they are parked; `None`: they are with executors, or on their way there.
    pub reason: Option<WaitReason>,
    /// How many.
    pub calls: u64,
    /// When the first of them is due, Unix ms, if they are parked.
    pub first_due_ms: Option<i64>,
    /// When the last of them is due, Unix ms, if they are parked.
    pub last_due_ms: Option<i64>,
    /// One of them.
    pub example: Option<OutCall>,
}

/// A call that is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutCall {
    /// Its id.
    pub call: CallId,
    /// Its fetch.
    pub fetch: FetchId,
    /// Its step.
    pub step: String,
    /// Where it stands in its fetch. May carry what should not be shown; its `Display` does not.
    pub pointer: PagePointer,
}

/// How fast pages of a job come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// So many pages were stored,
    pub pages: u64,
    /// since then, Unix ms.
    pub since_ms: i64,
}

/// What a job waits for, as it is stored.
pub(crate) fn parked(json: Option<&str>) -> Result<Option<Parked>, LedgerError> {
    let read = |json| serde_json::from_str(json).map_err(|error| LedgerError::corrupt("a parked credential", error));
    json.map(read).transpose()
}
