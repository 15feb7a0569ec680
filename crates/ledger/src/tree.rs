//! The tree as the ledger shows it, page by page.

use serde::Serialize;
use tidegate_contracts::{CallId, FetchId, PagePointer};

/// Which fetches of a job.
#[derive(Debug, Clone, Default)]
pub struct FetchFilter {
    /// Those below this one; `None`: the roots.
    pub parent: Option<FetchId>,
    /// Of this step only.
    pub step: Option<String>,
    /// Those planned after this one: the last of the page before. After one that is unknown comes nothing.
    pub after: Option<FetchId>,
    /// At most so many.
    pub limit: u32,
}

/// Which failed and skipped calls of a job.
#[derive(Debug, Clone, Default)]
pub struct FailedFilter {
    /// Of this fetch only, without those below it.
    pub fetch: Option<FetchId>,
    /// Of this step only.
    pub step: Option<String>,
    /// Of this failure class only.
    pub class: Option<String>,
    /// Those planned after this one: the last of the page before. After one that is unknown comes nothing.
    pub after: Option<CallId>,
    /// At most so many.
    pub limit: u32,
}

/// Which failed calls of a job are made again: all, or those that look alike. What an unset field speaks of is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetryFilter {
    /// Of this fetch only, without those below it.
    pub fetch: Option<FetchId>,
    /// Of this step only.
    pub step: Option<String>,
    /// Of this failure class only.
    pub class: Option<String>,
    /// Answered with this HTTP status only.
    pub status: Option<u16>,
    /// With this message only.
    pub message: Option<String>,
}

impl RetryFilter {
    /// Whether it means all of them.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

/// A fetch. `calls_planned = calls_open + calls_succeeded + calls_skipped + calls_failed + calls_cancelled`, always.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FetchRow {
    /// Its id.
    pub id: FetchId,
    /// The fetch it is below; `None` for a root.
    pub parent: Option<FetchId>,
    /// Step.
    pub step: String,
    /// Parameters, JSON.
    pub params: String,
    /// Items in the whole list, as its pages told.
    pub total: Option<u64>,
    /// What ended its paging: a [`FetchEnd`](tidegate_contracts::FetchEnd)'s name, or `not_begun`.
    pub fetch_end: Option<String>,
    /// Calls planned so far.
    pub calls_planned: u64,
    /// Calls that have not ended.
    pub calls_open: u64,
    /// Calls whose page is stored.
    pub calls_succeeded: u64,
    /// Calls for what is not there.
    pub calls_skipped: u64,
    /// Calls that failed for good.
    pub calls_failed: u64,
    /// Calls given up by a stop.
    pub calls_cancelled: u64,
    /// Fetches below it that are not finished.
    pub children_open: u64,
    /// Fetches it waits for (`after`) that are not finished.
    pub blockers_open: u64,
    /// Items on stored pages of ended calls.
    pub items: u64,
    /// Unix ms.
    pub created_at_ms: i64,
    /// Unix ms; absent while a call or child of it is open.
    pub finished_at_ms: Option<i64>,
}

/// A call that failed or was skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedCall {
    /// Its id.
    pub call: CallId,
    /// Its fetch.
    pub fetch: FetchId,
    /// Step.
    pub step: String,
    /// Parameters of its fetch, JSON.
    pub params: String,
    /// Where it stands in its fetch. May carry what should not be shown; its `Display` does not.
    pub pointer: PagePointer,
    /// `failed` or `skipped`.
    pub state: String,
    /// Failure class.
    pub class: String,
    /// HTTP status.
    pub status: Option<u16>,
    /// Message.
    pub message: String,
    /// Attempts spent: failed ones that count.
    pub attempt: u32,
}
