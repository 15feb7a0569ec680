//! Numbers that say how far they can be trusted.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// How far a number can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// It is so, or the provider said so.
    Exact,
    /// It follows from what was assumed.
    Estimated,
    /// It is not known; so many at least.
    AtLeast,
}

/// A number that says how far it can be trusted. What is made of several is as good as the worst of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Amount {
    /// The number.
    pub n: u64,
    /// How far it can be trusted.
    pub trust: Trust,
}

impl Amount {
    /// Known.
    #[must_use]
    pub fn exact(n: u64) -> Self {
        Self { n, trust: Trust::Exact }
    }

    /// Assumed.
    #[must_use]
    pub fn estimated(n: u64) -> Self {
        Self { n, trust: Trust::Estimated }
    }

    /// Not known.
    #[must_use]
    pub fn at_least(n: u64) -> Self {
        Self { n, trust: Trust::AtLeast }
    }

    /// Nothing at all is known of it.
    #[must_use]
    pub fn is_unknown(self) -> bool {
        self == Self::at_least(0)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { n: self.n.saturating_add(other.n), trust: self.trust.max(other.trust) }
    }

    pub(crate) fn times(self, other: Self) -> Self {
        match (self, other) {
            // Nothing for sure, however much the other is.
            (Self { n: 0, trust: Trust::Exact }, _) | (_, Self { n: 0, trust: Trust::Exact }) => Self::exact(0),
            _ => Self { n: self.n.saturating_mul(other.n), trust: self.trust.max(other.trust) },
        }
    }

    pub(crate) fn at_most(self, most: u64) -> Self {
        Self { n: self.n.min(most), ..self }
    }
}

impl fmt::Display for Amount {
    /// `1050`, `~1050` where it is estimated, `>=1050` where it is a lower bound, `?` where nothing is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.trust {
            Trust::Exact => self.n.to_string(),
            Trust::Estimated => format!("~{}", self.n),
            Trust::AtLeast if self.n == 0 => "?".to_owned(),
            Trust::AtLeast => format!(">={}", self.n),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_of_several_is_as_good_as_the_worst() {
        let table = [
            (Amount::exact(2), Amount::exact(3), Amount::exact(5), Amount::exact(6)),
            (Amount::exact(2), Amount::estimated(3), Amount::estimated(5), Amount::estimated(6)),
            (Amount::at_least(2), Amount::estimated(3), Amount::at_least(5), Amount::at_least(6)),
            (Amount::exact(0), Amount::at_least(3), Amount::at_least(3), Amount::exact(0)),
            (Amount::exact(u64::MAX), Amount::exact(2), Amount::exact(u64::MAX), Amount::exact(u64::MAX)),
        ];
        for (one, other, sum, product) in table {
            assert_eq!((one.plus(other), one.times(other)), (sum, product), "{one} and {other}");
            assert_eq!((other.plus(one), other.times(one)), (sum, product), "{other} and {one}");
        }
    }

    #[test]
    fn an_amount_shows_how_far_it_can_be_trusted() {
        let texts = [Amount::exact(1), Amount::estimated(2), Amount::at_least(3), Amount::at_least(0)];
        assert_eq!(texts.map(|amount| amount.to_string()), ["1", "~2", ">=3", "?"]);
        assert_eq!(format!("{:>5}|", Amount::estimated(20)), "  ~20|");
    }
}
