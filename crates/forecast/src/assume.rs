//! What a person assumes of lists that nobody has seen.

use std::collections::BTreeMap;
use std::str::FromStr;

use tidegate_provider::Spec;

/// What is assumed of each fetch of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assumed {
    /// So many items.
    Items(u64),
    /// So many pages.
    Pages(u64),
}

/// An assumption can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssumeError {
    /// It is not written as one.
    #[error("expected STEP=ITEMS or STEP.pages=PAGES with a whole number, found {0}")]
    Form(String),
    /// The job has no such step.
    #[error("the job has no step {step}; expected {known}")]
    Step {
        /// What was named.
        step: String,
        /// Its steps.
        known: String,
    },
}

/// What is assumed of steps: items or pages of each fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assumptions(BTreeMap<String, Assumed>);

impl Assumptions {
    /// Reads `STEP=ITEMS` and `STEP.pages=PAGES`; of several for one step the last counts.
    ///
    /// # Errors
    /// When a text is none of these.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, AssumeError> {
        let one = |text: &str| {
            let form = || AssumeError::Form(text.to_owned());
            let (name, number) = text.split_once('=').ok_or_else(form)?;
            let number = u64::from_str(number.trim()).map_err(|_| form())?;
            let (step, assumed) = match name.trim().rsplit_once('.') {
                Some((step, "pages")) => (step, Assumed::Pages(number)),
                Some((step, "items")) => (step, Assumed::Items(number)),
                _ => (name.trim(), Assumed::Items(number)),
            };
            if step.is_empty() { Err(form()) } else { Ok((step.to_owned(), assumed)) }
        };
        Ok(Self(texts.into_iter().map(one).collect::<Result<_, _>>()?))
    }

    /// Refuses steps that the job does not have.
    ///
    /// # Errors
    /// The first of them.
    pub fn check(&self, spec: &Spec) -> Result<(), AssumeError> {
        let Some(step) = self.0.keys().find(|step| spec.step(step).is_none()) else { return Ok(()) };
        let known: Vec<&str> = spec.steps().iter().map(tidegate_provider::Step::id).collect();
        Err(AssumeError::Step { step: step.clone(), known: known.join(" or ") })
    }

    /// What is assumed of a step.
    #[must_use]
    pub fn of(&self, step: &str) -> Option<Assumed> {
        self.0.get(step).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assumption_is_of_items_or_of_pages() {
        let read = Assumptions::parse(["followers=10000", "statuses.pages=3", "likes.items=7"]).unwrap();
        assert_eq!(read.of("followers"), Some(Assumed::Items(10_000)));
        assert_eq!(read.of("statuses"), Some(Assumed::Pages(3)));
        assert_eq!(read.of("likes"), Some(Assumed::Items(7)));
        assert_eq!(read.of("digest"), None);
    }

    #[test]
    fn anything_else_is_refused_with_what_was_expected() {
        for text in ["", "followers", "followers=", "followers=many", "=3", "followers=-1", ".pages=2"] {
            assert_eq!(Assumptions::parse([text]), Err(AssumeError::Form(text.to_owned())), "{text}");
        }
    }
}
