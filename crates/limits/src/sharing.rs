//! How lanes and tenants share limits that are not enough for all: settings of a deployment.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many lanes there are.
pub(crate) const LANES: usize = 4;
/// The largest weight of a lane.
const LANE_WEIGHT_MAX: u32 = 1_000_000;
/// The largest weight of a tenant.
const TENANT_WEIGHT_MAX: u32 = 1_000;
/// Most that is kept for higher lanes, all together, in per cent.
const HEADROOM_MAX_PERCENT: u32 = 90;
/// Most tenants with weights of their own.
const TENANTS_MAX: usize = 10_000;

/// Who gets how much where a limit is not enough for all, and what is kept for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    weights: [u32; LANES],
    headroom_percent: [u32; LANES],
    tenants: BTreeMap<String, u32>,
    trickle_percent: u32,
}

impl Default for Sharing {
    fn default() -> Self {
        Self {
            weights: [1_000, 100, 10, 1],
            headroom_percent: [10, 10, 5, 0],
            tenants: BTreeMap::new(),
            trickle_percent: 100,
        }
    }
}

/// What of a limit is kept for the lanes interactive, normal and bulk from those below each, in per cent, at most 90 together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<u32>", into = "Vec<u32>")]
#[schemars(extend("minItems" = LANES - 1, "maxItems" = LANES - 1))]
#[schemars(extend("items" = { "type": "integer", "minimum": 0, "maximum": HEADROOM_MAX_PERCENT }))]
pub struct Headroom([u32; LANES - 1]);

impl Headroom {
    /// For each lane, the most urgent first.
    #[must_use]
    pub fn lanes(self) -> [u32; LANES] {
        let [interactive, normal, bulk] = self.0;
        [interactive, normal, bulk, 0]
    }
}

impl TryFrom<Vec<u32>> for Headroom {
    type Error = SharingError;

    fn try_from(percent: Vec<u32>) -> Result<Self, SharingError> {
        let expected = || format!("three numbers of per cent, at most {HEADROOM_MAX_PERCENT} together");
        <[u32; LANES - 1]>::try_from(percent)
            .ok()
            .filter(|kept| kept.iter().all(|percent| *percent <= HEADROOM_MAX_PERCENT))
            .filter(|kept| kept.iter().sum::<u32>() <= HEADROOM_MAX_PERCENT)
            .map(Self)
            .ok_or_else(|| SharingError { field: "lane headroom", expected: expected() })
    }
}

impl From<Headroom> for Vec<u32> {
    fn from(headroom: Headroom) -> Self {
        headroom.0.to_vec()
    }
}

/// A setting that is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {expected}")]
pub struct SharingError {
    /// What is wrong: `lane weights`, `lane headroom`, `tenant weights` or `trickle pace`.
    pub field: &'static str,
    /// What was expected, to stand after "must be".
    pub expected: String,
}

impl Sharing {
    /// The weight of each lane, the most urgent first: what it gets of a limit that all of them want, from 1 to 1,000,000; what
    /// of a budget is kept for each lane but the last from those below it while it was seen lately, in per cent, at most 90
    /// together; and the weights of tenants within a lane, from 1 to 1,000, where that is not 1.
    ///
    /// # Errors
    /// What is out of its range, and what was expected.
    pub fn new(
        weights: &[u32],
        headroom_percent: &[u32],
        tenants: BTreeMap<String, u32>,
    ) -> Result<Self, SharingError> {
        let wrong = |field, expected: String| SharingError { field, expected };
        let weights = <[u32; LANES]>::try_from(weights)
            .ok()
            .filter(|weights| weights.iter().all(|weight| (1..=LANE_WEIGHT_MAX).contains(weight)))
            .ok_or_else(|| wrong("lane weights", format!("four numbers from 1 to {LANE_WEIGHT_MAX}")))?;
        let headroom_percent = Headroom::try_from(headroom_percent.to_vec())?.lanes();
        let in_range = tenants.values().all(|weight| (1..=TENANT_WEIGHT_MAX).contains(weight));
        if !in_range || tenants.len() > TENANTS_MAX {
            let expected = format!("of at most {TENANTS_MAX} tenants, each from 1 to {TENANT_WEIGHT_MAX}");
            return Err(wrong("tenant weights", expected));
        }
        Ok(Self { weights, headroom_percent, tenants, ..Self::default() })
    }

    /// The same, where the trickle lane is granted no more than this share of each limit's even pace, in per cent from 1 to 100;
    /// with 0 it takes what is left at once.
    ///
    /// # Errors
    /// It is more than 100.
    pub fn trickle(self, percent: u32) -> Result<Self, SharingError> {
        if percent > 100 {
            return Err(SharingError { field: "trickle pace", expected: "from 0 to 100 per cent".to_owned() });
        }
        Ok(Self { trickle_percent: percent, ..self })
    }

    /// What of each limit's even pace the trickle lane gets at most, in per cent; 0: it has no pace.
    #[must_use]
    pub fn trickle_percent(&self) -> u32 {
        self.trickle_percent
    }

    /// The weight of each lane, the most urgent first.
    #[must_use]
    pub fn weights(&self) -> [u32; LANES] {
        self.weights
    }

    /// What of a budget is kept for each lane from those below it, in per cent.
    #[must_use]
    pub fn headroom_percent(&self) -> [u32; LANES] {
        self.headroom_percent
    }

    /// A tenant's weight within a lane.
    #[must_use]
    pub fn tenant(&self, tenant: &str) -> u32 {
        self.tenants.get(tenant).copied().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_says_what_was_expected() {
        let kept = [10, 10, 5];
        let weights = [1_000, 100, 10, 1];
        assert_eq!(Sharing::new(&weights, &kept, BTreeMap::new()), Ok(Sharing::default()));
        let tenant = |weight| BTreeMap::from([("acme".to_owned(), weight)]);
        assert_eq!(Sharing::new(&weights, &kept, tenant(3)).map(|sharing| sharing.tenant("acme")), Ok(3));
        for (weights, kept, tenants, expected) in [
            (&weights[..3], &kept[..], tenant(1), "lane weights must be four numbers from 1 to 1000000"),
            (&[0, 1, 1, 1], &kept, tenant(1), "lane weights must be four numbers from 1 to 1000000"),
            (&weights, &[50, 40, 1], tenant(1), "lane headroom must be three numbers of per cent, at most 90 together"),
            (
                &weights,
                &[u32::MAX, 1, 1],
                tenant(1),
                "lane headroom must be three numbers of per cent, at most 90 together",
            ),
            (&weights, &kept, tenant(0), "tenant weights must be of at most 10000 tenants, each from 1 to 1000"),
        ] {
            assert_eq!(Sharing::new(weights, kept, tenants).unwrap_err().to_string(), expected);
        }
    }
}
