//! Windows: how many calls of one job are out at once.

use tidegate_contracts::Lane;

/// Most calls of one job that are released at once, by lane; the rest wait in the ledger. So a job of a million pages
/// never floods the bus, and cancelling it acts at once.
#[derive(Debug, Clone)]
pub struct Windows {
    /// Calls for each lane, in the order of [`Lane::ALL`].
    pub calls: [u32; 4],
    /// A released call that nobody has spoken of for this long is given up for lost and released again, in ms.
    pub lease_ms: i64,
}

impl Windows {
    /// The window of a lane.
    #[must_use]
    pub fn of(&self, lane: Lane) -> u32 {
        match lane {
            Lane::Interactive => self.calls[0],
            Lane::Normal => self.calls[1],
            Lane::Bulk => self.calls[2],
            Lane::Trickle => self.calls[3],
        }
    }

    /// No lane smaller than `calls`, so that executors with that many calls in flight are never starved.
    #[must_use]
    pub fn at_least(mut self, calls: u32) -> Self {
        for window in &mut self.calls {
            *window = (*window).max(calls);
        }
        self
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self { calls: [512, 256, 128, 32], lease_ms: 600_000 }
    }
}
