//! Reading and writing values of columns.

use tidegate_contracts::{Lane, Mark};

use crate::LedgerError;

/// A counter; the schema keeps them from being negative.
pub(super) fn count(value: i64, column: &'static str) -> Result<u64, LedgerError> {
    u64::try_from(value).map_err(|_| LedgerError::corrupt(column, format!("it is {value}")))
}

/// A 32-bit number.
pub(super) fn small(value: i64, column: &'static str) -> Result<u32, LedgerError> {
    u32::try_from(value).map_err(|_| LedgerError::corrupt(column, format!("it is {value}")))
}

pub(super) fn lane(name: &str) -> Result<Lane, LedgerError> {
    Lane::ALL.into_iter().find(|lane| lane.name() == name).ok_or_else(|| LedgerError::corrupt("a lane", name))
}

/// A value that tells what is new.
pub(super) fn mark(text: String) -> Result<Mark, LedgerError> {
    text.try_into().map_err(|error| LedgerError::corrupt("a mark", error))
}

/// JSON as it was stored.
pub(super) fn json<T: serde::de::DeserializeOwned>(text: &str, what: &'static str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|error| LedgerError::corrupt(what, error))
}

/// As JSON, to store. What we store always serialises: maps have text for keys.
pub(super) fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
