//! Reading ids and numbers out of rows.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tidegate_contracts::{CallId, DeadId, FetchId, JobId, Mark, MarkId};

use crate::LedgerError;

macro_rules! read_id {
    ($name:ident, $id:ty, $what:literal) => {
        pub(super) fn $name(row: &SqliteRow, column: &str) -> Result<$id, LedgerError> {
            let bytes: &[u8] = row.try_get(column)?;
            <$id>::from_slice(bytes).ok_or_else(|| LedgerError::corrupt($what, "not 16 bytes"))
        }
    };
}

read_id!(job_id, JobId, "a job id");
read_id!(fetch_id, FetchId, "a fetch id");
read_id!(call_id, CallId, "a call id");
read_id!(mark_id, MarkId, "a mark's id");
read_id!(dead_id, DeadId, "a dead letter's id");

/// A value that tells what is new.
pub(super) fn mark(text: String) -> Result<Mark, LedgerError> {
    text.try_into().map_err(|error| LedgerError::corrupt("a mark", error))
}

/// A counter; the schema keeps them from being negative.
pub(super) fn count(row: &SqliteRow, column: &str) -> Result<u64, LedgerError> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|_| LedgerError::corrupt("a counter", format!("{column} is {value}")))
}

/// A 32-bit number.
pub(super) fn small(row: &SqliteRow, column: &str) -> Result<u32, LedgerError> {
    let value: i64 = row.try_get(column)?;
    u32::try_from(value).map_err(|_| LedgerError::corrupt("a number", format!("{column} is {value}")))
}
