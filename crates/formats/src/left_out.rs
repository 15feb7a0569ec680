//! Fields that came too late to get a column.

use std::collections::BTreeMap;
use std::fmt;

/// Most names that are told apart.
pub const NAMES_MAX: usize = 100;

/// Fields without a column of their own, and how many items had each. Their values are in the column `_rest`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    names: BTreeMap<String, u64>,
    others: u64,
}

impl LeftOut {
    /// One more.
    pub fn count(&mut self, name: &str) {
        if let Some(items) = self.names.get_mut(name) {
            *items += 1;
        } else if self.names.len() < NAMES_MAX {
            self.names.insert(name.to_owned(), 1);
        } else {
            self.others += 1;
        }
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        for (name, items) in &other.names {
            if self.names.len() < NAMES_MAX || self.names.contains_key(name) {
                *self.names.entry(name.clone()).or_default() += items;
            } else {
                self.others += items;
            }
        }
        self.others += other.others;
    }

    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Each name, and how many items had it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.names.iter().map(|(name, items)| (name.as_str(), *items))
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, items)) in self.names.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            write!(f, "{comma}{name} ({items})")?;
        }
        if self.others > 0 { write!(f, ", and others ({})", self.others) } else { Ok(()) }
    }
}
