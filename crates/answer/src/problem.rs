//! What is wrong with a declaration.

/// Something wrong with a declaration that its shape alone could not tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}")]
pub struct Problem {
    /// The field, relative to the declaration, names joined by dots: `size.max`. Empty for the declaration itself.
    pub field: &'static str,
    /// What was expected there.
    pub expected: String,
}

impl Problem {
    pub(crate) fn new(field: &'static str, expected: impl Into<String>) -> Self {
        Self { field, expected: expected.into() }
    }
}
