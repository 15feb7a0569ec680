//! Plans: what the planner made of an outcome.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{CallId, Failure, FetchEnd, FetchId, JobId, MarkId, PagePointer, Params, Wait};

/// What one outcome means for the tree. Planner → tracker, which commits it.
///
/// Idempotent: a plan whose call is already out of its open state changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The job.
    pub job: JobId,
    /// The call that ended and how; absent in a job's first plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<CallEnd>,
    /// More pages of the same fetch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<NewPages>,
    /// Fetches below this one (or the job's roots).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fetches: Vec<NewFetch>,
    /// A guard or rule ended the fetch's paging here; recorded and shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch_end: Option<FetchEnd>,
    /// The whole list's size in items as this page told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// No new call of this job may go out: it fails with this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_job: Option<String>,
    /// Items for which a step was not done, because its `when` did not hold, by step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, u32>,
}

impl Plan {
    /// A plan of nothing. Committing any plan of a running job releases planned calls into its window, and this one does
    /// no more than that.
    #[must_use]
    pub fn nothing(job: JobId) -> Self {
        let (pages, fetches, left_out) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { job, ended: None, pages, fetches, fetch_end: None, total: None, fail_job: None, left_out }
    }
}

/// How a call ended, or that it waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallEnd {
    /// Its fetch.
    pub fetch: FetchId,
    /// The call.
    pub call: CallId,
    /// Attempts spent: failed ones that count.
    #[serde(default)]
    pub attempt: u32,
    /// Requests sent for it, refused ones included.
    pub requests: u32,
    /// What became of it.
    #[serde(flatten)]
    pub end: End,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    /// Its page is stored.
    Succeeded {
        /// Items on the page.
        items: u32,
    },
    /// What it asks for is not there; its fetch ends without it.
    Skipped {
        /// Why.
        failure: Failure,
    },
    /// It failed for good.
    Failed {
        /// Why.
        failure: Failure,
        /// The job may still succeed (`on_failure: continue`).
        tolerated: bool,
    },
    /// It was not made, because its job was stopped.
    Cancelled,
    /// It was not made, because its job is paused or its credential parked; not an end, the call is planned again.
    Returned,
    /// It waits; not an end, the call stays open.
    Deferred {
        /// Until when and why.
        wait: Wait,
    },
}

/// More pages of a fetch, in a form whose size does not grow with their number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "pages", rename_all = "snake_case")]
pub enum NewPages {
    /// One page.
    One {
        /// Where.
        pointer: PagePointer,
        /// Its place in its chain, from 0.
        ordinal: u32,
    },
    /// Offsets `from`, `from + size`, … below `until`.
    Offsets {
        /// First offset, in items.
        from: u64,
        /// End, exclusive, in items.
        until: u64,
        /// Items on each page.
        size: u32,
        /// Place of the first one, from 0.
        ordinal: u32,
    },
    /// Page numbers `from` up to, but not including, `until`.
    Numbers {
        /// First page number.
        from: u64,
        /// End, exclusive.
        until: u64,
        /// Items on each page.
        size: u32,
        /// Place of the first one, from 0.
        ordinal: u32,
    },
    /// Pages of one slice of a range ([`PagePointer::Slice`]).
    Sliced {
        /// First unit.
        from: i64,
        /// End, exclusive.
        until: i64,
        /// Slices that this one may become, itself included.
        budget: u32,
        /// Which, within the slice.
        within: Box<NewPages>,
    },
}

impl NewPages {
    /// Each page with its place in the fetch.
    pub fn pointers(&self) -> Box<dyn Iterator<Item = (PagePointer, u32)> + Send> {
        match *self {
            Self::One { ref pointer, ordinal } => Box::new(std::iter::once((pointer.clone(), ordinal))),
            Self::Offsets { from, until, size, ordinal } => {
                let offsets = (from..until).step_by(size.max(1) as usize);
                Box::new(offsets.zip(ordinal..).map(move |(offset, n)| (PagePointer::Offset { offset, size }, n)))
            }
            Self::Numbers { from, until, size, ordinal } => {
                Box::new((from..until).zip(ordinal..).map(move |(page, n)| (PagePointer::Number { page, size }, n)))
            }
            Self::Sliced { from, until, budget, ref within } => {
                Box::new(within.pointers().map(move |(pointer, n)| (pointer.within(from, until, budget), n)))
            }
        }
    }

    /// How many pages.
    #[must_use]
    pub fn count(&self) -> u64 {
        match *self {
            Self::One { .. } => 1,
            Self::Offsets { from, until, size, .. } => until.saturating_sub(from).div_ceil(u64::from(size.max(1))),
            Self::Numbers { from, until, .. } => until.saturating_sub(from),
            Self::Sliced { ref within, .. } => within.count(),
        }
    }
}

/// A fetch to begin, with its first pages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewFetch {
    /// Derived from parent, step and parameters.
    pub fetch: FetchId,
    /// The fetch whose item it belongs to; absent for a root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<FetchId>,
    /// The job's step.
    pub step: String,
    /// Parameters of the endpoint.
    pub params: Params,
    /// Its first pages.
    pub pages: Vec<NewPages>,
    /// It can't be begun (an item lacks what the step's parameters need): its first page counts as a failed call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The job may still succeed without it (`on_failure: continue`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tolerated: bool,
    /// Fetches that must have finished, with all below them, before its first page is asked for. Those that nobody
    /// planned hold nobody up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<FetchId>,
    /// The mark of what it asks for, where its endpoint tells what is new (`since`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<MarkId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_as_many_pointers_as_it_counts() {
        for (pages, count) in [
            (NewPages::Offsets { from: 100, until: 1000, size: 100, ordinal: 1 }, 9),
            (NewPages::Offsets { from: 100, until: 1001, size: 100, ordinal: 1 }, 10),
            (NewPages::Offsets { from: 100, until: 100, size: 100, ordinal: 1 }, 0),
            (NewPages::Numbers { from: 2, until: 5, size: 10, ordinal: 1 }, 3),
            (NewPages::One { pointer: PagePointer::First, ordinal: 0 }, 1),
        ] {
            assert_eq!(pages.count(), count);
            assert_eq!(pages.pointers().count() as u64, count);
        }
    }

    #[test]
    fn pointers_of_a_range_carry_their_place() {
        let pages = NewPages::Offsets { from: 20, until: 45, size: 10, ordinal: 2 };
        let all: Vec<_> = pages.pointers().collect();
        assert_eq!(all[2], (PagePointer::Offset { offset: 40, size: 10 }, 4));
    }
}
