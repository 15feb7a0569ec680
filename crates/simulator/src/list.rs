//! What an endpoint lists: how many items, which of them are served, and their ids.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::draw::Draw;

/// Longest list.
pub const ITEMS_MAX: u64 = 1_000_000_000;

/// How many items a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a number of items, { per: 30 } or { min: 0, max: 50 } was expected")]
pub enum Items {
    /// So many, whoever the parent.
    Count(u64),
    /// As many for each parent.
    Per(Per),
    /// Another size for each parent.
    Between(Between),
}

/// As many items for each parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Per {
    /// Items for each parent.
    pub per: u64,
}

/// A size drawn for each parent, evenly between two bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// Fewest items.
    pub min: u64,
    /// Most items, included.
    pub max: u64,
}

impl Items {
    pub(crate) fn check(&self) -> Result<(), String> {
        let most = match self {
            Self::Count(count) | Self::Per(Per { per: count }) => *count,
            Self::Between(Between { min, max }) if min > max => return Err(format!("min {min} is above max {max}")),
            Self::Between(Between { max, .. }) => *max,
        };
        if most > ITEMS_MAX { Err(format!("at most {ITEMS_MAX} items were expected, not {most}")) } else { Ok(()) }
    }

    /// The size that belongs to the list of `draw`.
    pub(crate) fn len(&self, draw: Draw) -> u64 {
        match self {
            Self::Count(count) | Self::Per(Per { per: count }) => *count,
            Self::Between(Between { min, max }) => min + draw.with_text("size").below(max - min + 1),
        }
    }
}

impl Default for Items {
    fn default() -> Self {
        Self::Count(100)
    }
}

/// Items that a list counts but does not serve, so that pages in its middle come short or blank.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Gaps {
    /// Share of pages that come short, from 0 to 1.
    pub(crate) short: f64,
    /// Share of pages that come without any item, from 0 to 1.
    pub(crate) blank: f64,
    /// Items of a whole page, from 1.
    pub(crate) block: u64,
}

/// One list: an endpoint's, for one parent.
#[derive(Debug, Clone)]
pub(crate) struct List {
    /// Positions, counting those that are never served.
    pub(crate) len: u64,
    /// Positions before it, where it is a part of a longer list.
    pub(crate) first: u64,
    /// The parent's id; empty where the endpoint has none.
    pub(crate) parent: String,
    /// The answer is the item itself, and so bears its parent's id.
    pub(crate) alone: bool,
    pub(crate) gaps: Gaps,
    /// Depends on seed, endpoint and parent.
    pub(crate) draw: Draw,
}

/// An item's id: a number, or `parent.number` where the list has a parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Id {
    Number(u64),
    Text(String),
}

impl List {
    /// Id of the item at `position` (from 0).
    pub(crate) fn id(&self, position: u64) -> Id {
        let number = self.first + position + 1;
        match self.parent.as_str() {
            "" => Id::Number(number),
            parent if self.alone => parent.parse().map_or_else(|_| Id::Text(parent.to_owned()), Id::Number),
            parent => Id::Text(format!("{parent}.{number}")),
        }
    }

    /// The position after the item called `id`.
    pub(crate) fn after(&self, id: &str) -> Option<u64> {
        let number: u64 = id.rsplit('.').next().and_then(|number| number.parse().ok())?;
        let number = number.checked_sub(self.first)?;
        (number <= self.len && number > 0 && self.id(number - 1).to_string() == id).then_some(number)
    }

    /// The part from position `from` up to, but not including, `until`, as a list of its own.
    pub(crate) fn part(&self, from: u64, until: u64) -> Self {
        let (from, until) = (from.min(self.len), until.min(self.len));
        Self {
            len: until.saturating_sub(from),
            first: self.first + from,
            draw: self.draw.with_text("part").with(from).with(until),
            ..self.clone()
        }
    }

    /// Positions from `start` up to, but not including, `end` that are served.
    pub(crate) fn served(&self, start: u64, end: u64) -> impl Iterator<Item = u64> {
        (start..end.min(self.len)).filter(|position| !self.hides(*position))
    }

    fn hides(&self, position: u64) -> bool {
        let Gaps { short, blank, block } = self.gaps;
        let at = position / block;
        // The first page tells a client how large pages are, the last is short anyway.
        if (short == 0.0 && blank == 0.0) || at == 0 || (at + 1) * block >= self.len {
            return false;
        }
        let draw = self.draw.with_text("gap").with(at);
        let chance = draw.unit();
        if chance < blank {
            return true;
        }
        if chance >= blank + short || block < 2 {
            return false;
        }
        let hidden = 1 + draw.with(1).below(block - 1);
        let first = draw.with(2).below(block - hidden + 1);
        (first..first + hidden).contains(&(position % block))
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(len: u64, parent: &str, gaps: Gaps) -> List {
        List { len, first: 0, parent: parent.to_owned(), alone: false, gaps, draw: Draw::seeded(7).with_text(parent) }
    }

    const NO_GAPS: Gaps = Gaps { short: 0.0, blank: 0.0, block: 10 };

    #[test]
    fn a_list_without_gaps_serves_all() {
        assert_eq!(list(25, "", NO_GAPS).served(0, 100).collect::<Vec<_>>(), (0..25).collect::<Vec<_>>());
    }

    #[test]
    fn an_id_leads_back_to_its_position() {
        for parent in ["", "17", "17.4", "a/b"] {
            let list = list(25, parent, NO_GAPS);
            for position in 0..25 {
                assert_eq!(list.after(&list.id(position).to_string()), Some(position + 1));
            }
            for wrong in ["0", "26", "x", "", "18.3", "17.0"] {
                assert_eq!(list.after(wrong), None, "{parent} {wrong}");
            }
        }
    }

    #[test]
    fn a_share_of_the_pages_between_first_and_last_is_short_and_another_blank() {
        let list = list(10_000, "", Gaps { short: 0.2, blank: 0.1, block: 10 });
        let counts: Vec<_> = (0..1000).map(|page| list.served(page * 10, page * 10 + 10).count()).collect();
        let (short, blank) =
            (counts.iter().filter(|n| (1..10).contains(*n)).count(), counts.iter().filter(|n| **n == 0).count());
        assert!((150..250).contains(&short), "{short}");
        assert!((70..130).contains(&blank), "{blank}");
        assert_eq!((counts[0], counts[999]), (10, 10));
    }

    #[test]
    fn each_parent_has_its_own_size_within_the_bounds() {
        let items = Items::Between(Between { min: 3, max: 5 });
        let mut seen = [0; 6];
        for parent in 0..300 {
            seen[items.len(Draw::seeded(1).with(parent)) as usize] += 1;
        }
        assert_eq!(seen[..3], [0, 0, 0]);
        assert!(seen[3..].iter().all(|n| *n > 60), "{seen:?}");
    }
}
