//! Ranges that calls ask for a part of: `?since=…&until=…`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::list::List;
use crate::paging::{BadPage, Position};

/// A range that calls ask for a part of. The list's items were made one after the other, from the beginning of 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Parameter with its beginning, which belongs to it: Unix time in seconds, or as ISO 8601.
    pub from: String,
    /// Parameter with its end, which does not belong to it.
    pub until: String,
    /// Items made in a second.
    #[serde(default = "one")]
    pub per_second: u64,
    /// Most items of one part that can be reached; a call for others is refused (`answers.invalid`). All unless given.
    #[serde(default)]
    pub reach: Option<u64>,
}

fn one() -> u64 {
    1
}

impl Range {
    /// The part of a list that a call asks for.
    pub(crate) fn part(&self, list: &List, param: impl Fn(&str) -> Option<String>) -> Result<List, BadPage> {
        let bound = |name: &str, otherwise: u64| match param(name) {
            None => Ok(otherwise),
            Some(text) => seconds(&text)
                .map(|seconds| seconds.saturating_mul(self.per_second))
                .ok_or_else(|| BadPage(format!("{name}: Unix time, or a time as ISO 8601, was expected"))),
        };
        Ok(list.part(bound(&self.from, 0)?, bound(&self.until, list.len)?))
    }

    /// Whether a page is within reach.
    pub(crate) fn reaches(&self, at: Position) -> Result<Position, BadPage> {
        let end = at.start.saturating_add(u64::from(at.size));
        match self.reach {
            Some(reach) if end > reach => Err(BadPage(format!("only the first {reach} items are within reach"))),
            _ => Ok(at),
        }
    }
}

fn seconds(text: &str) -> Option<u64> {
    let time = || humantime::parse_rfc3339_weak(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok();
    text.parse().ok().or_else(|| Some(time()?.as_secs()))
}
