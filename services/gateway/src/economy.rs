//! How few calls could have brought as many items, and how many did.

use schemars::JsonSchema;
use serde::Serialize;
use tidegate_ledger::StepRow;
use tidegate_pagination::Kind;
use tidegate_provider::Spec;

/// Calls of a step against the fewest that bring as many items.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Economy {
    /// The step.
    pub step: String,
    /// Calls that have ended, however they did.
    pub calls: u64,
    /// The fewest that could do: one for each fetch, and as many full pages as the items fill. What short last pages of
    /// several fetches cost is not in it. `None` where the provider decides how many items stand on a page.
    pub fewest: Option<u64>,
}

impl Economy {
    /// Calls more than the fewest: past the end of a list, refused for their size, of short pages, failed.
    #[must_use]
    pub fn more(&self) -> Option<u64> {
        Some(self.calls.saturating_sub(self.fewest?))
    }
}

/// Of each step, from its counters alone.
#[must_use]
pub fn economy(spec: &Spec, steps: &[StepRow]) -> Vec<Economy> {
    let of = |row: &StepRow| {
        let paging = spec.step(&row.step)?.paging();
        let fewest = match (paging.kind, paging.full_page()) {
            (Kind::Single, _) => Some(row.fetches),
            (_, Some(size)) => Some(row.items.div_ceil(u64::from(size.max(1))).max(row.fetches)),
            (_, None) => None,
        };
        Some(Economy { step: row.step.clone(), calls: row.calls_planned.saturating_sub(row.calls_open), fewest })
    };
    steps.iter().filter_map(of).collect()
}
