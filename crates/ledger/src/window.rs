//! Windows: how many calls of one job are out at once.

use std::collections::HashMap;

use tidegate_contracts::Lane;

/// Fewest calls of a job that may be out, however many jobs there are.
const SHARE_MIN: u32 = 8;

/// A lane of a provider that has unfinished jobs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenLane {
    /// The provider's name.
    pub provider: String,
    /// The lane.
    pub lane: Lane,
    /// Jobs that are neither finished nor paused, nor wait for their credential.
    pub jobs: u32,
    /// Jobs that are paused.
    pub paused: u32,
    /// Jobs that are not paused and wait for their credential.
    pub parked: u32,
    /// Calls of all of them that have not ended.
    pub calls_open: u64,
    /// Those of them that are out.
    pub calls_out: u64,
}

impl OpenLane {
    /// A lane without jobs.
    #[must_use]
    pub fn empty(provider: &str, lane: Lane) -> Self {
        Self { provider: provider.into(), lane, jobs: 0, paused: 0, parked: 0, calls_open: 0, calls_out: 0 }
    }
}

/// Most calls of one job that are released at once; the rest wait in the ledger. So a job of a million pages never floods
/// the bus, and cancelling it acts at once; and of many jobs each has few calls out, so that nobody's calls stand for long
/// behind all of the others'.
#[derive(Debug, Clone)]
pub struct Windows {
    /// Calls for each lane, in the order of [`Lane::ALL`].
    pub calls: [u32; 4],
    /// Calls that the jobs of one provider and lane share: each has its part of them, if that is less than its lane's
    /// window, but 8 at least.
    pub shared: u32,
    /// A job of the normal lane that has so many calls open is moved to `bulk`, and back when it has less than half of them. 0:
    /// none is.
    pub whale_calls: u64,
    /// A released call that nobody has spoken of for this long is given up for lost and released again, in ms.
    pub lease_ms: i64,
    /// Jobs that share, by provider, for each lane; what [`Windows::shared_by`] is told.
    pub crowds: HashMap<String, [u32; 4]>,
}

impl Windows {
    /// The window of each job of a provider and lane.
    #[must_use]
    pub fn of(&self, provider: &str, lane: Lane) -> u32 {
        let jobs = self.crowds.get(provider).map_or(0, |crowds| crowds[place(lane)]).max(1);
        self.most(lane).min((self.shared / jobs).max(SHARE_MIN))
    }

    /// The window of a job of a lane that it has for itself.
    #[must_use]
    pub fn most(&self, lane: Lane) -> u32 {
        self.calls[place(lane)]
    }

    /// The same, shared by as many jobs as there are now.
    #[must_use]
    pub fn shared_by(&self, lanes: Vec<OpenLane>) -> Self {
        let mut crowds: HashMap<String, [u32; 4]> = HashMap::new();
        for open in lanes {
            crowds.entry(open.provider).or_default()[place(open.lane)] = open.jobs;
        }
        Self { crowds, ..self.clone() }
    }

    /// From how many open calls on a job is moved to `bulk`, and below how many it is moved back.
    pub(crate) fn whales(&self) -> (i64, i64) {
        let whole = |calls: u64| i64::try_from(calls).unwrap_or(i64::MAX);
        let enter = if self.whale_calls == 0 { u64::MAX } else { self.whale_calls };
        (whole(enter), whole(enter.div_ceil(2)))
    }

    /// No lane smaller than `calls`, so that executors with that many calls in flight are never starved.
    #[must_use]
    pub fn at_least(mut self, calls: u32) -> Self {
        for window in &mut self.calls {
            *window = (*window).max(calls);
        }
        self.shared = self.shared.max(calls.saturating_mul(2));
        self
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            calls: [512, 256, 128, 32],
            shared: 8_192,
            whale_calls: 20_000,
            lease_ms: 600_000,
            crowds: HashMap::new(),
        }
    }
}

fn place(lane: Lane) -> usize {
    match lane {
        Lane::Interactive => 0,
        Lane::Normal => 1,
        Lane::Bulk => 2,
        Lane::Trickle => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_jobs_have_their_lanes_windows_and_many_share() {
        let windows =
            |jobs| Windows::default().shared_by(vec![OpenLane { jobs, ..OpenLane::empty("x", Lane::Normal) }]);
        for (jobs, window) in [(0, 256), (1, 256), (32, 256), (64, 128), (1_000, 8), (1_000_000, 8)] {
            assert_eq!(windows(jobs).of("x", Lane::Normal), window, "{jobs} jobs");
        }
        let crowded = windows(1_000);
        assert_eq!((crowded.of("y", Lane::Normal), crowded.of("x", Lane::Bulk)), (256, 128), "others are not crowded");
        assert_eq!(Windows { calls: [1; 4], ..crowded }.of("x", Lane::Normal), 1, "no window grows by sharing");
    }
}
